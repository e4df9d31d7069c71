"""Puts the heap that was there before a measured request aside, so that the collection at its end costs a millisecond instead
of a walk over everything, which would also unshare the pages of a pre-forked worker."""

import gc


class Aside:
    """``begin`` and ``end`` around what is measured; both may be called again."""

    def __init__(self, recorder):
        self._recorder = recorder
        self._frozen = False

    def begin(self):
        """Not where the application has frozen a heap of its own: nothing of that may be thawed."""
        if not self._frozen and gc.get_freeze_count() <= self._recorder.frozen_at_boot:
            self._frozen = True  # first: an exception may come in between, and to thaw nothing does no harm
            gc.freeze()

    def end(self):
        """Give back what was put aside."""
        if self._frozen:
            gc.unfreeze()
            self._frozen = False
