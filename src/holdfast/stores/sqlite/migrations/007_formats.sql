-- Arrays of JSON and MessagePack, with values by position, become objects of JSON, with values by name: see stores/formats.py. Unreadable values stay
-- as they are. `extras_by_name` and the others are functions in stores/positional.py, registered with SQLite while this step runs.
--
-- job.extras, kept_answer.receipts, ended.followers and schedule.state are JSON now, the last three as bytes.
-- rewrites: job, kept_answer, ended, schedule

UPDATE job SET extras = CAST(coalesce(extras_by_name(CAST(extras AS BLOB)), CAST(extras AS BLOB)) AS TEXT) WHERE extras IS NOT NULL;
UPDATE kept_answer SET receipts = coalesce(receipts_by_name(receipts), receipts);
UPDATE ended SET followers = coalesce(receipts_by_name(followers), followers) WHERE followers IS NOT NULL;
UPDATE schedule SET state = coalesce(schedule_by_name(state), state);
