SELECT budget, count(*), sum(jobs)::bigint, sum(waiting)::bigint, sum(running)::bigint FROM budget_account GROUP BY budget
