UPDATE counter SET value = CASE WHEN value BETWEEN 0 AND 9007199254740990 THEN value + 1 ELSE 1 END WHERE name = 'interests'
