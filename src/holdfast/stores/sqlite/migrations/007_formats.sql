-- What stood by place in arrays of JSON and MessagePack stands by name in objects of JSON: see stores/formats.py. What can't be read stays as it is.
-- `extras_by_name` and its like are functions of this program (stores/positional.py); SQLite knows them while this step runs.
--
-- job.extras, kept_answer.receipts, ended.followers and schedule.state are JSON now, the last three as bytes.

UPDATE job SET extras = CAST(coalesce(extras_by_name(CAST(extras AS BLOB)), CAST(extras AS BLOB)) AS TEXT) WHERE extras IS NOT NULL;
UPDATE kept_answer SET receipts = coalesce(receipts_by_name(receipts), receipts);
UPDATE ended SET followers = coalesce(receipts_by_name(followers), followers) WHERE followers IS NOT NULL;
UPDATE schedule SET state = coalesce(schedule_by_name(state), state);
