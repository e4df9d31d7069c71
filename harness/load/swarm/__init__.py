"""Traffic from several processes, on one machine or more, held together by Locust: what runs in its master and its workers.

`processes` is the side of our own load process (asyncio); everything else here is imported by Locust processes only, since
Locust replaces much of the standard library when it is imported.
"""
