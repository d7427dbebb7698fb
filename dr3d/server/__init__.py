"""A database over HTTP: the service, its page and its limits.

Data flows one way; read the modules in that order:

    settings         limits of a service, and who may call it
    http_error       a request that is rejected: HTTP status and sentence
    upload           the body of a request becomes a file of bounded size
    upload_reader    that file becomes a mesh and a preview, in a child process
    batch            one thread owns the pipeline and batches waiting queries
    state            the database at one moment
    preview          views as PNG
    warmup           what is compiled before the first query
    duplicate_job    groups of duplicates, found in a process of their own
    writer           one change at a time
    token, audit     who may call, and who has changed what
    service          all of the above, without HTTP
    schema           responses as JSON
    limiter, connection, security, admission    what guards each request
    metric, context  measures; threads and uploads of an application
    parameter, route/, app                HTTP
"""
