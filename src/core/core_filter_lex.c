/*
 * core_filter_lex.c
 *		Tokens of filters (RFC 7644 Figure 1): names, operators, operands.
 *
 * There is no token stream: the grammar decides where a blank has to be, and
 * what may stand at a position depends on what came before (`not`, `eq` and
 * `true` are attribute names as well).  Each function takes what it is named
 * after from the text at lexer->pos, or fails with the position.
 *
 * Strict wants exactly one SP where the grammar has SP and none elsewhere;
 * compat takes any run of blanks there and around brackets.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core_filter_internal.h"

#define OPERATOR_NAME_SIZE 16

static const char *const operator_names[] = {
	"eq", "ne", "co", "sw", "ew", "gt", "ge", "lt", "le", "pr"
};

const char *
scim_filter_op_name(ScimFilterOp op)
{
	return operator_names[op];
}

bool
scim_lex_fail(ScimFilterLexer *lexer, size_t pos, const char *expected)
{
	return scim_fail_at(lexer->err, 400, SCIM_INVALID_FILTER, (int) pos, "malformed filter: %s", expected);
}

/* ---- characters ---- */

static bool
is_alpha(char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* What may stand in the URI of a schema; brackets, quotes and blanks may not. */
static bool
is_uri_char(char c)
{
	return is_alpha(c) || is_digit(c) || (c != '\0' && strchr("$-_.:/~%+@!*=&?#,;", c) != NULL);
}

bool
scim_lex_next_is(const ScimFilterLexer *lexer, char c)
{
	return lexer->pos < lexer->end && lexer->text[lexer->pos] == c;
}

/* May a literal or number end here? */
static bool
at_delimiter(const ScimFilterLexer *lexer)
{
	char		c;

	if (lexer->pos >= lexer->end)
		return true;
	c = lexer->text[lexer->pos];
	return is_blank(c) || c == ')' || c == ']';
}

/* ---- blanks and words ---- */

void
scim_lex_optional_blanks(ScimFilterLexer *lexer)
{
	if (lexer->mode == SCIM_COMPAT)
		while (lexer->pos < lexer->end && is_blank(lexer->text[lexer->pos]))
			lexer->pos++;
}

bool
scim_lex_blank(ScimFilterLexer *lexer)
{
	size_t		start = lexer->pos;

	if (lexer->mode == SCIM_STRICT)
	{
		if (scim_lex_next_is(lexer, ' '))
			lexer->pos++;
	}
	else
		scim_lex_optional_blanks(lexer);
	return lexer->pos > start;
}

static size_t
word_length(const ScimFilterLexer *lexer)
{
	size_t		n = 0;

	while (lexer->pos + n < lexer->end && is_alpha(lexer->text[lexer->pos + n]))
		n++;
	return n;
}

bool
scim_lex_keyword(ScimFilterLexer *lexer, const char *keyword)
{
	size_t		start = lexer->pos;
	size_t		n;

	if (scim_lex_blank(lexer))
	{
		n = word_length(lexer);
		if (scim_name_eq(lexer->text + lexer->pos, n, keyword))
		{
			lexer->pos += n;
			if (scim_lex_blank(lexer))
				return true;
		}
	}
	lexer->pos = start;
	return false;
}

/* ---- names ---- */

size_t
scim_attrname_length(const char *text, size_t len)
{
	size_t		n = 0;

	if (len == 0 || !(is_alpha(text[0]) || text[0] == '$'))
		return 0;
	while (n < len && (is_alpha(text[n]) || is_digit(text[n]) || text[n] == '$' || text[n] == '-' || text[n] == '_'))
		n++;
	return n;
}

bool
scim_lex_name(ScimFilterLexer *lexer, ScimFilterName *name)
{
	const char *s = lexer->text + lexer->pos;
	size_t		len = 0;
	size_t		uri = 0;		/* length with its last colon */
	bool		has_scheme = false;
	size_t		n;
	size_t		sub;

	while (lexer->pos + len < lexer->end && is_uri_char(s[len]))
	{
		if (s[len] == ':')
		{
			/* scheme ":" something ":" name */
			if (uri > 0 && len > uri)
				has_scheme = true;
			uri = len + 1;
		}
		len++;
	}
	if (uri > 0 && (!has_scheme || !is_alpha(s[0])))
		return false;
	n = scim_attrname_length(s + uri, len - uri);
	if (n == 0)
		return false;
	name->has_sub = uri + n < len && s[uri + n] == '.';
	if (name->has_sub)
	{
		sub = scim_attrname_length(s + uri + n + 1, len - uri - n - 1);
		if (sub == 0)
			return false;
		n += 1 + sub;
	}
	if (uri + n < len)
		return false;
	name->start = lexer->pos;
	name->len = len;
	name->has_uri = uri > 0;
	lexer->pos += len;
	return true;
}

/* ---- operators ---- */

bool
scim_lex_operator(ScimFilterLexer *lexer, ScimFilterOp *op)
{
	size_t		n;

	if (!scim_lex_blank(lexer))
		return scim_lex_fail(lexer, lexer->pos, "a blank and an operator are expected after the attribute");
	n = word_length(lexer);
	if (n == 0)
		return scim_lex_fail(lexer, lexer->pos, "an operator is expected");
	for (int i = 0; i <= SCIM_OP_PR; i++)
		if (scim_name_eq(lexer->text + lexer->pos, n, operator_names[i]))
		{
			lexer->pos += n;
			*op = (ScimFilterOp) i;
			return true;
		}
	if (n >= OPERATOR_NAME_SIZE)
		return scim_lex_fail(lexer, lexer->pos, "unknown operator");
	return scim_fail_at(lexer->err, 400, SCIM_INVALID_FILTER, (int) lexer->pos,
						"malformed filter: unknown operator \"%.*s\"", (int) n, lexer->text + lexer->pos);
}

/* ---- operands ---- */

static bool
hex4(const ScimFilterLexer *lexer, size_t pos, uint32_t *code)
{
	*code = 0;
	if (pos + 4 > lexer->end)
		return false;
	for (size_t i = pos; i < pos + 4; i++)
	{
		char		c = lexer->text[i];
		uint32_t	digit;

		if (is_digit(c))
			digit = (uint32_t) (c - '0');
		else if ((c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'))
			digit = (uint32_t) ((c | 0x20) - 'a' + 10);
		else
			return false;
		*code = *code * 16 + digit;
	}
	return true;
}

static size_t
put_utf8(char *out, uint32_t code)
{
	if (code < 0x80)
	{
		out[0] = (char) code;
		return 1;
	}
	if (code < 0x800)
	{
		out[0] = (char) (0xC0 | (code >> 6));
		out[1] = (char) (0x80 | (code & 0x3F));
		return 2;
	}
	if (code < 0x10000)
	{
		out[0] = (char) (0xE0 | (code >> 12));
		out[1] = (char) (0x80 | ((code >> 6) & 0x3F));
		out[2] = (char) (0x80 | (code & 0x3F));
		return 3;
	}
	out[0] = (char) (0xF0 | (code >> 18));
	out[1] = (char) (0x80 | ((code >> 12) & 0x3F));
	out[2] = (char) (0x80 | ((code >> 6) & 0x3F));
	out[3] = (char) (0x80 | (code & 0x3F));
	return 4;
}

/* The part of an escape behind "\u"; takes the low surrogate along. */
static bool
unicode_escape(ScimFilterLexer *lexer, uint32_t *code)
{
	size_t		start = lexer->pos - 2;
	uint32_t	low;

	if (!hex4(lexer, lexer->pos, code))
		return scim_lex_fail(lexer, start, "bad escape in a string");
	lexer->pos += 4;
	if (*code == 0)
		return scim_lex_fail(lexer, start, "a string holds the character U+0000");
	if (*code < 0xD800 || *code > 0xDFFF)
		return true;
	if (*code <= 0xDBFF && lexer->pos + 6 <= lexer->end &&
		lexer->text[lexer->pos] == '\\' && lexer->text[lexer->pos + 1] == 'u' &&
		hex4(lexer, lexer->pos + 2, &low) && low >= 0xDC00 && low <= 0xDFFF)
	{
		lexer->pos += 6;
		*code = 0x10000 + ((*code - 0xD800) << 10) + (low - 0xDC00);
		return true;
	}
	return scim_lex_fail(lexer, start, "half of a surrogate pair in a string");
}

static bool
lex_escape(ScimFilterLexer *lexer, uint32_t *code)
{
	static const char letters[] = "\"\\/bfnrt";
	static const char meanings[] = "\"\\/\b\f\n\r\t";
	char		c;
	const char *letter;

	lexer->pos++;
	c = lexer->pos < lexer->end ? lexer->text[lexer->pos] : '\0';
	letter = c ? strchr(letters, c) : NULL;
	lexer->pos++;
	if (c == 'u')
		return unicode_escape(lexer, code);
	if (letter == NULL)
		return scim_lex_fail(lexer, lexer->pos - 2, "bad escape in a string");
	*code = (unsigned char) meanings[letter - letters];
	return true;
}

/* A JSON string, decoded. */
static bool
lex_string(ScimFilterLexer *lexer, ScimOperand *operand)
{
	size_t		start = lexer->pos++;
	char		buf[SCIM_FILTER_MAX_OPERAND + 4];
	size_t		n = 0;

	while (!scim_lex_next_is(lexer, '"'))
	{
		unsigned char c;
		uint32_t	code;

		if (lexer->pos >= lexer->end)
			return scim_lex_fail(lexer, start, "a string does not end");
		c = (unsigned char) lexer->text[lexer->pos];
		if (c == '\\')
		{
			if (!lex_escape(lexer, &code))
				return false;
			n += put_utf8(buf + n, code);
		}
		else if (c < 0x20)
			return scim_lex_fail(lexer, lexer->pos, "control character in a string");
		else
		{
			buf[n++] = (char) c;
			lexer->pos++;
		}
		if (n > SCIM_FILTER_MAX_OPERAND)
			return scim_fail_at(lexer->err, 400, SCIM_INVALID_FILTER, (int) start,
								"an operand is longer than %d bytes", SCIM_FILTER_MAX_OPERAND);
	}
	lexer->pos++;
	operand->kind = SCIM_OPERAND_STRING;
	operand->len = n;
	operand->text = scim_strndup(buf, n);
	return operand->text != NULL || scim_fail_memory(lexer->err);
}

static size_t
digits_at(const ScimFilterLexer *lexer, size_t pos)
{
	size_t		n = 0;

	while (pos + n < lexer->end && is_digit(lexer->text[pos + n]))
		n++;
	return n;
}

/* A JSON number; its text is kept. */
static bool
lex_number(ScimFilterLexer *lexer, ScimOperand *operand)
{
	size_t		start = lexer->pos;
	size_t		p = start;
	size_t		n;
	bool		plain = true;
	char	   *end;

	if (lexer->text[p] == '-')
		p++;
	n = digits_at(lexer, p);
	if (n == 0 || (n > 1 && lexer->text[p] == '0'))
		return scim_lex_fail(lexer, start, "bad number");
	p += n;
	if (p < lexer->end && lexer->text[p] == '.')
	{
		n = digits_at(lexer, ++p);
		if (n == 0)
			return scim_lex_fail(lexer, start, "bad number");
		p += n;
		plain = false;
	}
	if (p < lexer->end && (lexer->text[p] | 0x20) == 'e')
	{
		p++;
		if (p < lexer->end && (lexer->text[p] == '+' || lexer->text[p] == '-'))
			p++;
		n = digits_at(lexer, p);
		if (n == 0)
			return scim_lex_fail(lexer, start, "bad number");
		p += n;
		plain = false;
	}
	lexer->pos = p;
	if (!at_delimiter(lexer))
		return scim_lex_fail(lexer, start, "bad number");
	if (p - start > SCIM_FILTER_MAX_OPERAND)
		return scim_fail_at(lexer->err, 400, SCIM_INVALID_FILTER, (int) start,
							"an operand is longer than %d bytes", SCIM_FILTER_MAX_OPERAND);

	operand->kind = SCIM_OPERAND_NUMBER;
	operand->len = p - start;
	operand->text = scim_strndup(lexer->text + start, operand->len);
	if (operand->text == NULL)
		return scim_fail_memory(lexer->err);
	operand->number = strtod(operand->text, NULL);
	if (plain && fabs(operand->number) < 1e19)
	{
		/* 64 bits hold the digits exactly, or the text is no integer of ours */
		operand->integer = strtoll(operand->text, &end, 10);
		operand->is_integer = fabs(operand->number) < 9e18 ||
			(operand->integer != INT64_MAX && operand->integer != INT64_MIN) ||
			strcmp(operand->text, operand->integer > 0 ? "9223372036854775807" : "-9223372036854775808") == 0;
	}
	return true;
}

static bool
lex_literal(ScimFilterLexer *lexer, ScimOperand *operand)
{
	static const char *const names[] = {"true", "false", "null"};
	size_t		n = word_length(lexer);
	size_t		start = lexer->pos;

	for (int i = 0; i < 3; i++)
	{
		bool		same = lexer->mode == SCIM_COMPAT ? scim_name_eq(lexer->text + start, n, names[i]) :
			n == strlen(names[i]) && memcmp(lexer->text + start, names[i], n) == 0;

		if (!same)
			continue;
		lexer->pos += n;
		if (!at_delimiter(lexer))
			break;
		operand->kind = i == 2 ? SCIM_OPERAND_NULL : SCIM_OPERAND_BOOLEAN;
		operand->boolean = i == 0;
		return true;
	}
	return scim_lex_fail(lexer, start, "an operand is a JSON string, a number, true, false or null");
}

bool
scim_lex_operand(ScimFilterLexer *lexer, ScimOperand *operand)
{
	bool		blank = scim_lex_blank(lexer);
	char		c = lexer->pos < lexer->end ? lexer->text[lexer->pos] : '\0';

	/* compat: userName eq"x" */
	if (!blank && !(lexer->mode == SCIM_COMPAT && c == '"'))
		return scim_lex_fail(lexer, lexer->pos, "a blank and an operand are expected after the operator");
	if (c == '"')
		return lex_string(lexer, operand);
	if (c == '-' || is_digit(c))
		return lex_number(lexer, operand);
	return lex_literal(lexer, operand);
}
