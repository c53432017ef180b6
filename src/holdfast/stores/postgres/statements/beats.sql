SELECT worker, at FROM beat WHERE worker NOT IN ('served', 'graced')
