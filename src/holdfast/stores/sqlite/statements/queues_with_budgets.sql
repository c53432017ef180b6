SELECT name, settings FROM queue WHERE settings LIKE '%"budgets"%' ORDER BY name
