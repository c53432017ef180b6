-- As bytes: one may be no text.
SELECT CAST(name AS BLOB) FROM schedule
