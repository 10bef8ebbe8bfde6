"""Between the policy's action vector and the messages a robot's controllers take.

:mod:`.kinds` turns the action (deltas, velocities, Cartesian moves, normalised values) into values
for each command sink of the robot contract; an adapter from :mod:`.registry` writes those values
into a message (``encode``) and reads them back (``decode``).
"""
