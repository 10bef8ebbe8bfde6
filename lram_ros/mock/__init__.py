"""A mock robot: publishes what a robot contract asks for, moves as it is told, fails on request.

A stand-in for hardware, to try a contract and the reaction to faults before a robot is on. It is
no simulator: nothing collides, nothing has weight, and what it sees has nothing to do with a task.
"""
