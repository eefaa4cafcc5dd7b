"""The process behind a session: it runs statements one after the other and outlives the service that started it.

Plain CPython in the session's own environment. The main thread runs user code; other threads take requests, watch
Spark's progress and flush output. Everything that happens is an event with a number in a log on disk, so that a
service that was away reads on where it stopped, also when this process has ended meanwhile.
"""
