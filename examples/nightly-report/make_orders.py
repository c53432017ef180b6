"""Make the shop's database for this example: three orders yesterday, as Vienna counts days, and one before. `python3 make_orders.py FILE`"""

import sqlite3
import sys
from contextlib import closing
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

yesterday = datetime.now(ZoneInfo("Europe/Vienna")).date() - timedelta(days=1)
orders = [(1, 1, "tea", 450), (2, 0, "tea", 450), (3, 0, "cup", 1290), (4, 0, "tea", 900)]

with closing(sqlite3.connect(sys.argv[1])) as shop, shop:
    shop.execute("CREATE TABLE IF NOT EXISTS orders(id INTEGER PRIMARY KEY, day TEXT, product TEXT, cents INTEGER)")
    rows = [(id, str(yesterday - timedelta(days=before)), product, cents) for id, before, product, cents in orders]
    shop.executemany("INSERT OR REPLACE INTO orders VALUES (?, ?, ?, ?)", rows)
