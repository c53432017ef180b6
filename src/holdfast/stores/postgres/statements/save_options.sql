-- The options that a job may have, for `holdfast.enqueue`; written only if they have changed, without a wait for standbys.
UPDATE enqueue_bounds b SET options = $1::text::jsonb
WHERE b.options IS DISTINCT FROM $1::text::jsonb AND set_config('synchronous_commit', 'off', true) = 'off'
