"""The database over HTTP: a service, its page, its limits.

Data flows one way, and the modules are best read in that order:

    config     what a service may take, and who may write
    refusal    a request that is not answered: status and sentence
    upload     the body of a request becomes a file of bounded size
    reading    a file becomes what is searched and shown, in a child process
    batch      one thread owns the pipeline; queries that wait go together
    state      the database as it was at one moment
    picture    views as PNG, for people
    warmth     what is compiled before the first query
    twin       groups of duplicates, found in a process of its own
    writer     one change after the other; nothing that was accepted is lost
    service    all of it at work, without HTTP
    schema     what is answered, as JSON
    limit, security, metric, desk     what guards and watches each request
    parameter, route/, app            HTTP
"""
