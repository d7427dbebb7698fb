"""System B: an object of a query found in pictures and video.

`H W` pixels of the medium, the picture that is searched; `h w` of a query. A
query is one object; the answer is a heat map and the object's instances.

References:
  US 2018/0260664; numbers in brackets are its paragraphs.
"""
