SELECT give_back('job_id', $1, $2), give_back('fence', $3, $4)
