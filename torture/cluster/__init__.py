"""Torture over many machines: a primary with two standbys, two equal Holdfast nodes, and clients that turn to the other node when one fails.

    clients ─▶ Holdfast nodes ─▶ primary ─▶ standbys
                        links        links          every path can be cut: bytes wait, nobody is told

Histories, clients and checkers are those of the whole harness. What is added is what a single machine has not:
    a failover     the primary dies with its disk, and the standby is promoted that the promise rests on: of all standbys the one which is
                   the K-th in having received most. With K copies of every answered job it has them all. Every trial ends with one.
    C12 copies     nothing may be answered as done while the harness itself keeps fewer than K standbys able to write.

Run `python -m torture.cluster --help`.
"""
