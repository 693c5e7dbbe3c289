"""What a saga does, without clock, sockets or threads.

Invariant: imports nothing above the model, and neither lark nor networkx.
"""
