DELETE FROM job_batch_closing WHERE job_batch = ? AND due = ?
