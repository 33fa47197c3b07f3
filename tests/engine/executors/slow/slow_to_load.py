"""A module that takes longer to load than a call may take."""

import time

time.sleep(1.5)
VALUE = "loaded"
