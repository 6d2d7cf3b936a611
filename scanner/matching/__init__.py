"""Which packages a question or an advisory is about: names, versions, ranges. Pure."""
