"""What is needed of Ray beyond its public interface, as it is in Ray 2.60.0.

tests/cluster/test_public.py says in a sentence when it has moved.
"""

WRAPPED = "_base_exc"


def cause_of(failure: Exception) -> Exception:
    """The error that a worker raised, from a value of `TrainingFailedError.worker_failures`.

    Ray Train wraps it, and the wrapper's public parts are text alone. Without the error itself the driver
    could not tell a store that does not answer (a retry may help) from workers that were lost.
    """
    found: Exception = getattr(failure, WRAPPED, failure)
    return found
