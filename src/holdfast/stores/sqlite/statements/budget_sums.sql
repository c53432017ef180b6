SELECT budget, count(*), sum(jobs), sum(waiting), sum(running) FROM budget_account GROUP BY budget
