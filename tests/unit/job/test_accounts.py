"""What an account counts by queue: whatever happens to its jobs, its sums are those of its queues."""

from hypothesis import given
from hypothesis import strategies as st

from holdfast.job.budget import Account, Next
from holdfast.limits import BUDGET_NEXT, BUDGET_PASSED, BUDGET_UNCLAIMED_MS, BUDGET_UNITS_MAX, QUEUE_NAME_WRITTEN_CHARS
from holdfast.stores.rows import account_row

ROW_BYTES = 1 << 20
QUEUES = [f"q{number}" for number in range(BUDGET_PASSED + 3)]
STEPS = st.lists(
    st.tuples(st.sampled_from(["come", "come to a paused one", "go", "start", "take", "pass"]), st.sampled_from(QUEUES)),
    max_size=300,
)


@given(STEPS)
def test_its_sums_are_those_of_its_queues_and_what_is_passed_over_is_bounded(steps):
    account, now = Account("a"), BUDGET_UNCLAIMED_MS
    for number, queue in enumerate(QUEUES):  # so that the bound is met
        account.come_next(queue, 1 + number % 3, 0 if number % 2 else now)
    for step, queue in steps:
        now += BUDGET_UNCLAIMED_MS // 3
        if step.startswith("come"):
            account.come_next(queue, 2, now if step == "come" else 0)
        elif step == "take":
            account.take(queue, now)
        elif step == "pass":
            account.pass_over(now)
        elif queue in account.by_queue:
            of = account.by_queue[queue]
            cost = of.units if of.jobs == 1 else min(2, of.units - of.jobs + 1)
            account.go(queue, cost) if step == "go" else account.start(queue, cost, now)
        anew = Account("a", by_queue={name: Next(of.jobs, of.units, of.since) for name, of in account.by_queue.items()})
        anew.count_passed()
        sums = (account.passed, account.passed_jobs, account.passed_units)
        assert sums == (anew.passed, anew.passed_jobs, anew.passed_units)
        assert account.passed <= BUDGET_PASSED
        assert account.next_jobs == sum(of.jobs for of in account.by_queue.values())
        assert account.next_units == sum(of.units for of in account.by_queue.values())


def test_its_row_is_bounded_in_bytes_also_where_names_of_queues_are_long():
    account, now = Account("a"), 1 << 41
    for number in range(BUDGET_PASSED + BUDGET_NEXT):
        since = 0 if number < BUDGET_PASSED else now
        name = f"{number:0{QUEUE_NAME_WRITTEN_CHARS}}"
        account.come_next(name, BUDGET_UNITS_MAX, since)
        account.by_queue[name].first_cost = BUDGET_UNITS_MAX
    assert account.passed == BUDGET_PASSED
    assert len(account.by_queue) == BUDGET_PASSED + BUDGET_NEXT
    size = sum([len(value.encode()) for value in account_row(account) if isinstance(value, str)])
    assert 750_000 < size <= ROW_BYTES
