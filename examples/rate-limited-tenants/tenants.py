"""Three tenants want calls, one of them very many; and what became of them."""

import json
from urllib.request import urlopen

from calls import API, BUDGET, QUEUE, calls_of, tasks

WANTED = {"acme": 12, "bolt": 2, "cato": 2}

client = tasks.client
client.set_queue(QUEUE, fair=True)  # tenants take turns
client.set_budget(BUDGET, 10, per_ms=1_000, burst=5)  # each of them: 10 calls a second, and 5 at once after a quiet time

ids = {tenant: [receipt.id for receipt in client.enqueue_many(calls_of(tenant, count))] for tenant, count in WANTED.items()}
jobs = {tenant: [client.wait(id, timeout_s=60) for id in ids[tenant]] for tenant in WANTED}
done = {tenant: max(job.ended_at for job in jobs[tenant] if job.ended_at) for tenant in WANTED}
with urlopen(f"{API}/", timeout=10) as answer:  # noqa: S310  (the API of this example)
    told = json.load(answer)

print(f"done last: {max(WANTED, key=done.__getitem__)}")
for tenant, theirs in jobs.items():
    answered = sum(job.result.startswith("answer to") for job in theirs)
    print(f"{tenant}: {answered} of {len(theirs)} answered, failed {sum(job.failures for job in theirs)}")
print(f"429, and waited for: {', '.join(sorted(name.removesuffix(' 429') for name in told if name.endswith('429')))}")
