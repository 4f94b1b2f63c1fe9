"""Who else is in the market: the demo and its history, simulated participants, recorded order flow.

They are clients like any other: every order goes through the functions of the SQL interface.
"""
