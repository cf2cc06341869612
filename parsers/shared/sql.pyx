"""SQL text: secrets in it masked, and its shape without its values (PostgreSQL manual, "Lexical Structure").

Both scan once, from left to right, and know what a literal, a comment and a quoted name is.  Neither parses.
"""
from cext.cursor cimport (Cursor, byte_at, copy_span, equals, equals_nocase, left, lower, part, same, span, until,
                          within)
from cext.record cimport keep_more, keep_text

cdef enum:
    LONGEST_TAG = 64               # of a dollar quote

cdef enum Kind:                    # of a byte, for one look where several comparisons would be
    BLANK = 1
    WORD = 2                       # what a name may go on with
    LETTER = 4                     # what it may begin with
    MARK = 8                       # what stands for itself: no literal, comment or quoted name begins with it

cdef uint8_t kinds[256]
cdef uint8_t small[256]            # in lower case, of what a name may go on with; 0 for all else

cdef inline bint is_space(uint8_t byte) noexcept nogil:
    return kinds[byte] & BLANK != 0


cdef inline bint is_digit(uint8_t byte) noexcept nogil:
    return c'0' <= byte <= c'9'


cdef inline bint is_word(uint8_t byte) noexcept nogil:
    """Letters, digits, ``_``, ``$`` and all beyond ASCII: what a name may go on with."""
    return kinds[byte] & WORD != 0


# ---- tokens --------------------------------------------------------------------------------------------------------

cdef uint32_t quoted_end(Span sql, uint32_t at, bint escapes) noexcept nogil:
    """Behind a literal or name in quotes, the opening one at ``at``; to the end where it does not close."""
    cdef uint8_t quote = byte_at(sql, at)
    at += 1
    while at < sql.n:
        if escapes and byte_at(sql, at) == c'\\' and at + 1 < sql.n:
            at += 1
        elif byte_at(sql, at) == quote:
            if byte_at(sql, at + 1) != quote:
                return at + 1
            at += 1                # a doubled quote stands for one
        at += 1
    return sql.n


cdef uint32_t dollar_end(Span sql, uint32_t at) noexcept nogil:
    """Behind a dollar-quoted literal that begins at ``at``; ``at`` itself where none begins."""
    cdef uint32_t tag = 1, i
    while at + tag < sql.n and tag < LONGEST_TAG and is_word(byte_at(sql, at + tag)) and byte_at(sql, at + tag) != c'$':
        tag += 1
    if tag == LONGEST_TAG:
        return sql.n               # whatever it is, it may be a literal
    if byte_at(sql, at + tag) != c'$' or is_digit(byte_at(sql, at + 1)):
        return at
    tag += 1
    i = at + tag
    while i < sql.n:
        if byte_at(sql, i) == c'$' and same(part(sql, i, tag), part(sql, at, tag)):
            return i + tag
        i += 1
    return sql.n


cdef uint32_t comment_end(Span sql, uint32_t at) noexcept nogil:
    """Behind a comment that begins at ``at``; ``at`` itself where none begins.  Those of C nest."""
    cdef uint32_t depth = 0
    if byte_at(sql, at) == c'-' and byte_at(sql, at + 1) == c'-':
        while at < sql.n and byte_at(sql, at) not in (10, 13):
            at += 1
        return at
    if byte_at(sql, at) != c'/' or byte_at(sql, at + 1) != c'*':
        return at
    while at < sql.n:
        if byte_at(sql, at) == c'/' and byte_at(sql, at + 1) == c'*':
            depth += 1
            at += 2
        elif byte_at(sql, at) == c'*' and byte_at(sql, at + 1) == c'/':
            depth -= 1
            at += 2
            if depth == 0:
                return at
        else:
            at += 1
    return sql.n


cdef uint32_t number_end(Span sql, uint32_t at) noexcept nogil:
    """Behind a number: digits, point, exponent, 0x and the like, ``_`` between digits."""
    while at < sql.n:
        if byte_at(sql, at) in (c'e', c'E') and byte_at(sql, at + 1) in (c'+', c'-') and is_digit(byte_at(sql, at + 2)):
            at += 2
        elif not (is_word(byte_at(sql, at)) or byte_at(sql, at) == c'.') or byte_at(sql, at) == c'$':
            break
        at += 1
    return at


cdef uint32_t literal_end(Span sql, uint32_t at) noexcept nogil:
    """Behind the literal that begins at ``at``, with its prefix; ``at`` itself where none begins."""
    cdef uint8_t byte = byte_at(sql, at), letter = lower(byte)
    if byte == c"'":
        return quoted_end(sql, at, False)
    if letter in (c'e', c'b', c'x', c'n') and byte_at(sql, at + 1) == c"'":
        return quoted_end(sql, at + 1, letter == c'e')
    if letter == c'u' and byte_at(sql, at + 1) == c'&' and byte_at(sql, at + 2) == c"'":
        return quoted_end(sql, at + 2, False)
    if byte == c'$':
        return dollar_end(sql, at)
    if is_digit(byte) or (byte == c'.' and is_digit(byte_at(sql, at + 1))):
        return number_end(sql, at)
    return at


# ---- shape ---------------------------------------------------------------------------------------------------------

cdef uint32_t fingerprint_sql(Span sql, uint8_t* out) noexcept nogil:
    """The statement with ``?`` for each literal and for a list of them in brackets, names in lower case, one space for
    any, and without comments.  Writes at most ``sql.n`` bytes, and gives their number."""
    cdef uint32_t at = 0, end, n = 0
    cdef bint space = False
    cdef uint8_t byte
    while at < sql.n:
        byte = byte_at(sql, at)
        if kinds[byte] & MARK or (kinds[byte] & LETTER and not is_prefix(byte_at(sql, at + 1))):
            n = put_space(out, n, space and byte != c',' and byte != c')')
            at = put_token(sql, at, out, &n)
            n = fold_rows(out, n) if byte == c')' else n
            space = False
            continue
        end = comment_end(sql, at)
        if end > at or is_space(byte):
            at = end if end > at else at + 1
            space = n > 0
            continue
        end = literal_end(sql, at) if byte != c'"' or is_closed(sql, at) else sql.n
        if end > at:
            n = put_value(out, n, space)
            at = end
        elif is_sign(sql, at) and not follows_operand(out, n):
            n = put_value(out, n, space)
            at = literal_end(sql, at + 1)
        else:
            n = put_space(out, n, space)
            at = put_token(sql, at, out, &n)
        space = False
    while n and out[n - 1] == c';':
        n -= 1
    return n


cdef bint is_closed(Span sql, uint32_t at) noexcept nogil:
    """The name in quotes that begins at ``at`` ends; one that does not may hold anything, and is told as a value."""
    cdef uint32_t quotes = 0
    if quoted_end(sql, at, False) < sql.n:
        return True
    while at < sql.n:
        quotes += byte_at(sql, at) == c'"'
        at += 1
    return quotes % 2 == 0


cdef inline bint is_prefix(uint8_t byte) noexcept nogil:
    """The letter before this one may be the prefix of a literal."""
    return byte == c"'" or byte == c'&'


cdef inline bint is_sign(Span sql, uint32_t at) noexcept nogil:
    """A sign with its number."""
    return byte_at(sql, at) in (c'-', c'+') and (is_digit(byte_at(sql, at + 1)) or byte_at(sql, at + 1) == c'.') and (
        literal_end(sql, at + 1) > at + 1)


cdef inline bint follows_operand(const uint8_t* out, uint32_t n) noexcept nogil:
    """What was written last is a value, a name or a closing bracket: a sign behind it is an operator."""
    return n > 0 and (is_word(out[n - 1]) or out[n - 1] in (c'?', c')', c']', c'"')) and not ends_in_keyword(out, n)


cdef bint ends_in_keyword(const uint8_t* out, uint32_t n) noexcept nogil:
    """A word behind which a value comes."""
    cdef uint32_t begin = n
    cdef Span word
    while begin and is_word(out[begin - 1]):
        begin -= 1
    word = span(out + begin, n - begin)
    return (equals(word, b"select", 6) or equals(word, b"values", 6) or equals(word, b"and", 3)
            or equals(word, b"or", 2) or equals(word, b"between", 7) or equals(word, b"limit", 5)
            or equals(word, b"offset", 6)
            or equals(word, b"then", 4) or equals(word, b"else", 4) or equals(word, b"when", 4)
            or equals(word, b"in", 2)
            or equals(word, b"where", 5) or equals(word, b"by", 2) or equals(word, b"not", 3)
            or equals(word, b"like", 4) or equals(word, b"return", 6) or equals(word, b"to", 2))


cdef uint32_t put_value(uint8_t* out, uint32_t n, bint space) noexcept nogil:
    """One ``?``; none where a bracket holds one already, so that a list is as long as any."""
    if n >= 3 and out[n - 1] == c',' and out[n - 2] == c'?' and out[n - 3] == c'(':
        return n - 1
    n = put_space(out, n, space)
    out[n] = c'?'
    return n + 1


cdef inline uint32_t put_space(uint8_t* out, uint32_t n, bint space) noexcept nogil:
    """One where there was any, but none behind an opening bracket."""
    if space and out[n - 1] != c'(':
        out[n] = c' '
        return n + 1
    return n


cdef uint32_t fold_rows(uint8_t* out, uint32_t n) noexcept nogil:
    """``(?),(?)`` is ``(?)``: rows of values, however many."""
    if n >= 7 and out[n - 1] == c')' and out[n - 2] == c'?' and out[n - 3] == c'(':
        if out[n - 4] == c',' and out[n - 5] == c')' and out[n - 6] == c'?' and out[n - 7] == c'(':
            return n - 4
        if n >= 8 and out[n - 4] == c' ' and out[n - 5] == c',' and out[n - 6] == c')' and out[n - 7] == c'?' and (
                out[n - 8] == c'('):
            return n - 5
    return n


cdef uint32_t put_token(Span sql, uint32_t at, uint8_t* out, uint32_t* n) noexcept nogil:
    """A name, a name in quotes, a parameter, or one other character; gives what is behind it."""
    cdef uint32_t end = at + 1, to = n[0]
    cdef uint8_t byte = byte_at(sql, at), letter
    if byte == c'"':
        end = quoted_end(sql, at, False)
        copy_span(out + to, part(sql, at, end - at))
        n[0] = to + end - at
        return end
    out[to] = lower(byte)
    to += 1
    letter = small[byte_at(sql, end)] if is_word(byte) else 0
    while letter:
        out[to] = letter
        to += 1
        end += 1
        letter = small[byte_at(sql, end)]
    n[0] = to
    return end


# ---- secrets -------------------------------------------------------------------------------------------------------

cdef bint keep_masked(Draft* d, int field, int unmasked_field, Span sql) noexcept nogil:
    """Keeps a statement with every literal behind PASSWORD masked; as it was, as a secret.  True: there are some."""
    cdef uint32_t begin = 0, start = 0, end = 0
    if not has_password(sql, c'w') and not has_password(sql, c'W') or not find_password(sql, 0, &start, &end):
        keep_text(d, field, sql)
        return False
    keep_text(d, unmasked_field, sql)
    keep_text(d, field, part(sql, 0, start))
    while end:
        keep_more(d, field, span(<const uint8_t*>b"'***'", 5), b"")
        begin = end
        if not find_password(sql, begin, &start, &end):
            start, end = sql.n, 0
        keep_more(d, field, part(sql, begin, start - begin), b"")
    return True


cdef bint has_password(Span sql, uint8_t w) noexcept nogil:
    """The word is there, with its ``w`` written so: a rare letter, which memchr finds at many bytes a cycle."""
    cdef Cursor c = within(sql)
    cdef uint32_t at
    while True:
        until(&c, w)
        if c.short:
            return False
        at = sql.n - left(&c)
        if at >= 5 and equals_nocase(part(sql, at - 5, 8), b"password", 8):
            return True


cdef bint find_password(Span sql, uint32_t begin, uint32_t* start, uint32_t* end) noexcept nogil:
    """The next string literal behind the word PASSWORD: its first byte and the one behind its last."""
    cdef uint32_t i = begin, at
    while i + 10 < sql.n:
        if lower(byte_at(sql, i)) != c'p' or not equals_nocase(part(sql, i, 8), b"password", 8):
            i += 1
            continue
        at = blank_end(sql, i + 8)
        while byte_at(sql, at) == c'=':
            at = blank_end(sql, at + 1)
        if byte_at(sql, at) in (c"'", c'$', c'e', c'E', c'u', c'U') and literal_end(sql, at) > at:
            end[0] = secret_end(sql, at)
            while byte_at(sql, at) not in (c"'", c'$'):
                at += 1            # the letters before a literal stay
            start[0] = at
            return True
        i = at
    return False


cdef uint32_t blank_end(Span sql, uint32_t at) noexcept nogil:
    """Behind white space and comments."""
    cdef uint32_t end = comment_end(sql, at)
    while end > at or is_space(byte_at(sql, at)):
        at = end if end > at else at + 1
        end = comment_end(sql, at)
    return at


cdef uint32_t secret_end(Span sql, uint32_t at) noexcept nogil:
    """Behind a literal and those that go on with it in later lines.

    Whether a backslash escapes is a setting of the server's (standard_conforming_strings): the later end is taken.
    """
    cdef uint32_t end = literal_end(sql, at), more
    if byte_at(sql, end - 1) == c'$':
        return end
    while byte_at(sql, at) not in (c"'", c'$'):
        at += 1
    while byte_at(sql, at) == c"'":
        end = max(quoted_end(sql, at, False), quoted_end(sql, at, True))
        at = more = blank_end(sql, end)
        while more > end and byte_at(sql, more - 1) not in (10, 13):
            more -= 1
        if more == end:
            break                  # on the same line it is another literal
    return end


cdef uint8_t kind_of(int byte):
    cdef bint letter = c'a' <= (byte | 0x20) <= c'z' or byte == c'_' or byte >= 0x80
    if byte == c' ' or 9 <= byte <= 13:
        return BLANK
    if letter or c'0' <= byte <= c'9' or byte == c'$':
        return WORD | LETTER if letter else WORD
    return 0 if byte in b"'\"./-+" else MARK


for number in range(256):
    kinds[number] = kind_of(number)
    small[number] = lower(<uint8_t>number) if is_word(<uint8_t>number) else 0
