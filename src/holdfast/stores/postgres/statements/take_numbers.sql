SELECT take('job_id', $1), take('fence', $2)
