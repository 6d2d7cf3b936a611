"""One publisher's data a file: where from, how parsed, under which licence. Found by walking."""
