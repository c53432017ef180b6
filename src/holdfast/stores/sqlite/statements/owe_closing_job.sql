UPDATE job_batch_closing SET owed = 1, refusal = ?3 WHERE job_batch = ?1 AND due = ?2
