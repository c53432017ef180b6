"""Torture over many machines: a primary with two standbys, two equal Holdfast nodes, and clients that use the other node if one
fails.

    clients ─▶ Holdfast nodes ─▶ primary ─▶ standbys
                        links        links          every path can be cut: bytes wait, and neither side notices

Histories, clients and checkers are those of `torture`. Added is what a single machine does not have:
    a failover     the primary is lost with its disk, and the standby with the K-th highest received position is promoted: with
                   K copies of every answered job it has them all. Every trial ends with a failover.
    C12 copies     nothing may be answered as done while the harness leaves fewer than K standbys able to write.

Run `python -m torture.cluster --help`.
"""
