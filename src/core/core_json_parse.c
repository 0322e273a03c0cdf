/*
 * core_json_parse.c
 *		jansson's parser, guarded (see core_json.h).
 *
 * One pass over the text comes first: UTF-8, depth, tokens, lengths.  It is
 * what keeps a few bytes from asking for much, and jansson's recursion within
 * bounds.  It also computes how much memory jansson will need: its lexer does
 * not survive it when memory ends in the middle of a token, so that much is
 * set aside before it starts.  The grammar itself is jansson's business.
 */
#include <float.h>
#include <stdlib.h>
#include <string.h>

#include "core_fold.h"
#include "core_json.h"

/* A decimal with more digits could come back as another number. */
#define MAX_SIGNIFICANT_DIGITS 15

#define MAX_EXPONENT 100000		/* far beyond what a double can hold, and the length of a text */

/* ---- tokens ---- */

typedef enum TokenKind
{
	TOKEN_MARK,					/* one of {}[]:, */
	TOKEN_STRING,
	TOKEN_NUMBER,
	TOKEN_OTHER					/* true, false, null, or a word or character that jansson will refuse */
} TokenKind;

typedef struct Token
{
	TokenKind	kind;
	size_t		start;
	size_t		end;			/* behind it; behind the text: a string that does not end */
	size_t		zero;			/* where a string holds \u0000; 0: nowhere */
} Token;

/* A string from its opening quote on. */
static void
scan_string(const char *text, size_t len, Token *token)
{
	size_t		i = token->start + 1;

	for (; i < len && text[i] != '"'; i += text[i] == '\\' ? 2 : 1)
		if (text[i] == '\\' && len - i >= 6 && token->zero == 0 && memcmp(text + i + 1, "u0000", 5) == 0)
			token->zero = i;
	token->kind = TOKEN_STRING;
	token->end = i < len ? i + 1 : len + 1;
}

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool
is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/*
 * The token at or after *i, which is moved behind it; false: there is none.
 * As far as jansson takes a text for JSON it sees the same tokens; numbers and
 * words are at least as long here.
 */
static bool
next_token(const char *text, size_t len, size_t *i, Token *token)
{
	size_t		end;

	while (*i < len && (text[*i] == ' ' || text[*i] == '\t' || text[*i] == '\n' || text[*i] == '\r'))
		(*i)++;
	if (*i >= len)
		return false;
	token->start = *i;
	token->zero = 0;
	end = *i + 1;
	switch (text[*i])
	{
		case '{':
		case '}':
		case '[':
		case ']':
		case ':':
		case ',':
			token->kind = TOKEN_MARK;
			break;
		case '"':
			scan_string(text, len, token);
			*i = token->end;
			return true;
		case '-':
		case '0':
		case '1':
		case '2':
		case '3':
		case '4':
		case '5':
		case '6':
		case '7':
		case '8':
		case '9':
			token->kind = TOKEN_NUMBER;
			while (end < len && (text[end] == '.' || is_digit(text[end])))
				end++;
			if (end < len && (text[end] == 'e' || text[end] == 'E'))
			{
				end++;
				end += end < len && (text[end] == '-' || text[end] == '+');
				while (end < len && is_digit(text[end]))
					end++;
			}
			break;
		default:
			token->kind = TOKEN_OTHER;
			while (end < len && (is_letter(text[*i]) ? is_letter(text[end]) : (text[end] & 0xC0) == 0x80))
				end++;
	}
	token->end = *i = end;
	return true;
}

/*
 * At most 15 significant digits, and no smaller than a double holds, unless it
 * is an integer (whose range jansson checks, as it checks that of large ones).
 */
static bool
check_number(const char *text, const Token *token, ScimError *err)
{
	size_t		i = token->start;
	int			digits = 0;
	int			zeros = 0;		/* pending: trailing zeros are not significant */
	long		scale = 0;		/* decimal exponent of the first significant digit */
	long		exponent = 0;
	bool		fraction = false;
	bool		negative = false;

	i += text[i] == '-';
	for (; i < token->end && (text[i] == '.' || is_digit(text[i])); i++)
	{
		if (text[i] == '.')
		{
			fraction = true;
			continue;
		}
		if (digits > 0 ? !fraction : (fraction && text[i] == '0'))
			scale += fraction ? -1 : 1;
		if (text[i] != '0')
		{
			/* the place that this digit holds itself */
			scale -= digits == 0 && fraction;
			digits += zeros + 1;
			zeros = 0;
		}
		else
			zeros += digits > 0;
	}
	if (i < token->end)
	{
		/* behind the e */
		fraction = true;
		i++;
		negative = i < token->end && text[i] == '-';
		i += i < token->end && !is_digit(text[i]);
		for (; i < token->end; i++)
			exponent = exponent > MAX_EXPONENT ? exponent : exponent * 10 + (text[i] - '0');
	}
	if (!fraction)
		return true;
	if (digits > MAX_SIGNIFICANT_DIGITS)
		return scim_fail_at(err, 400, SCIM_INVALID_VALUE, (int) token->start,
							"a number has more than %d significant digits", MAX_SIGNIFICANT_DIGITS);
	if (digits > 0 && scale + (negative ? -exponent : exponent) < DBL_MIN_10_EXP)
		return scim_fail_at(err, 400, SCIM_INVALID_VALUE, (int) token->start, "a number is out of range");
	return true;
}

/* ---- what jansson will allocate ---- */

/*
 * The structures of jansson that a parse allocates (2.13 to 2.15), in size.
 *
 *	- A value: json_t and, for an object, a hash table of three words and two
 *	  list heads; for an array, three words; for a string, two; for a number,
 *	  one of 8 bytes.  true, false and null are static.
 *	- A member: a pair of two list nodes, three words and the name, whose
 *	  decoded form is no longer than the text between the quotes.
 *	- An object begins with 8 buckets of two words.  The member that finds as
 *	  many members as buckets gets twice the buckets first.
 *	- An array begins with room for 8 pointers, and is moved to twice the room.
 *	- A string token is decoded into a buffer of its length, quotes included,
 *	  and a zero; as a value it stays, as a name it is copied into the pair.
 *	- The lexer keeps the text of a token, and one byte more where it has to
 *	  look ahead, in a buffer of 16 bytes that doubles until there is also room
 *	  for a zero.  It is one buffer for the whole text.
 *
 * Where jansson frees something in between, the reserve does not take it back,
 * so the sum of all of these is what is needed.  Tokens are read one by one,
 * and each is counted before jansson can act on it: a member at its colon, an
 * element at the comma before it (the first one has room).  A text that is no
 * JSON makes jansson stop at a token, hence never takes more than was counted
 * up to there.
 */
#define OBJECT_SIZE		(sizeof(json_t) + 7 * sizeof(void *))
#define ARRAY_SIZE		(sizeof(json_t) + 3 * sizeof(void *))
#define STRING_SIZE		(sizeof(json_t) + 2 * sizeof(void *))
#define NUMBER_SIZE		(sizeof(json_t) + sizeof(double))
#define PAIR_SIZE		(7 * sizeof(void *))
#define BUCKET_SIZE		(2 * sizeof(void *))
#define FIRST_ROOM		8
#define LEXER_SIZE		16

typedef struct Level
{
	char		open;			/* { or [ */
	size_t		entries;		/* members, elements: at least as many as jansson has put in */
	size_t		room;			/* for so many */
} Level;

typedef struct Scan
{
	const char *text;
	bool		stored;			/* decimals are as they are */
	size_t		need;			/* bytes */
	size_t		longest;		/* what the lexer keeps at most */
	size_t		string;			/* the token before is a string with so many bytes between its quotes ... */
	bool		after_string;	/* ... if it is one */
	int			depth;
	Level		levels[SCIM_JSON_MAX_DEPTH];
} Scan;

static size_t
entry_size(const Level *level)
{
	return level->open == '{' ? BUCKET_SIZE : sizeof(json_t *);
}

/* One entry more; it may take a larger table. */
static void
add_entry(Scan *scan, Level *level)
{
	if (level->entries++ < level->room)
		return;
	level->room *= 2;
	scan->need += SCIM_PIECE(level->room * entry_size(level));
}

static bool
scan_open(Scan *scan, const Token *token, ScimError *err)
{
	Level	   *level;

	if (scan->depth >= SCIM_JSON_MAX_DEPTH)
		return scim_fail_at(err, 400, SCIM_INVALID_SYNTAX, (int) token->start,
							"the body is nested deeper than %d levels", SCIM_JSON_MAX_DEPTH);
	level = &scan->levels[scan->depth++];
	level->open = scan->text[token->start];
	level->entries = level->open == '[';
	level->room = FIRST_ROOM;
	scan->need += SCIM_PIECE(level->open == '{' ? OBJECT_SIZE : ARRAY_SIZE) + SCIM_PIECE(FIRST_ROOM * entry_size(level));
	return true;
}

static bool
scan_value(Scan *scan, const Token *token, size_t len, ScimError *err)
{
	size_t		length = token->end - token->start;

	switch (token->kind)
	{
		case TOKEN_STRING:
			if (token->zero != 0)
				return scim_fail_at(err, 400, SCIM_INVALID_VALUE, (int) token->zero, "a string holds the character U+0000");
			if (token->end > len)
				return scim_fail_at(err, 400, SCIM_INVALID_SYNTAX, (int) token->start, "a string does not end");
			if (length - 2 > SCIM_JSON_MAX_STRING)
				return scim_fail_at(err, 400, SCIM_INVALID_SYNTAX, (int) token->start,
									"a string is longer than %d bytes", SCIM_JSON_MAX_STRING);
			scan->need += SCIM_PIECE(length + 1) + SCIM_PIECE(STRING_SIZE);
			scan->string = length - 2;
			break;
		case TOKEN_NUMBER:
			if (!scan->stored && !check_number(scan->text, token, err))
				return false;
			scan->need += SCIM_PIECE(NUMBER_SIZE);
			length++;			/* the lexer looks ahead */
			break;
		default:
			/* jansson would take it for the end of the text */
			if (scan->text[token->start] == '\0')
				return scim_fail_at(err, 400, SCIM_INVALID_SYNTAX, (int) token->start, "the body is not valid JSON");
			length++;
	}
	if (scan->longest < length)
		scan->longest = length;
	return true;
}

/*
 * The pass over text[start, len); *need is what jansson will allocate at most.
 * Where brackets do not match, jansson stops, or has stopped before.
 */
static bool
scan_text(const char *text, size_t start, size_t len, bool stored, size_t *need, ScimError *err)
{
	Scan		scan;
	Token		token;
	size_t		i = start;
	size_t		bad;
	long		tokens = 0;
	bool		over = false;

	if (!scim_utf8_valid(text, len, &bad))
		return scim_fail_at(err, 400, SCIM_INVALID_SYNTAX, (int) bad, "the body is not valid UTF-8");
	scan.text = text;
	scan.stored = stored;
	scan.need = SCIM_PIECE(LEXER_SIZE);
	scan.longest = 0;
	scan.string = 0;
	scan.after_string = false;
	scan.depth = 0;
	while (!over && next_token(text, len, &i, &token))
	{
		char		c = token.kind == TOKEN_MARK ? text[token.start] : '\0';

		if (c != ',' && c != ':' && ++tokens > SCIM_JSON_MAX_TOKENS)
			return scim_fail_at(err, 400, SCIM_INVALID_SYNTAX, (int) token.start,
								"the body holds more than %d names, values and brackets", SCIM_JSON_MAX_TOKENS);
		if (c == '\0')
		{
			if (!scan_value(&scan, &token, len, err))
				return false;
		}
		else if (c == '{' || c == '[')
		{
			if (!scan_open(&scan, &token, err))
				return false;
		}
		else if (scan.depth == 0)
			over = true;
		else if (c == '}' || c == ']')
			scan.depth--;
		else
		{
			Level	   *level = &scan.levels[scan.depth - 1];

			if (c == ',' && level->open == '[')
				add_entry(&scan, level);
			else if (c == ':' && level->open == '{' && scan.after_string)
			{
				/* no value, but a name */
				add_entry(&scan, level);
				scan.need += SCIM_PIECE(PAIR_SIZE + scan.string + 1) - SCIM_PIECE(STRING_SIZE);
			}
		}
		scan.after_string = token.kind == TOKEN_STRING;
	}
	for (size_t size = LEXER_SIZE; size <= scan.longest; size *= 2)
		scan.need += SCIM_PIECE(2 * size);
	*need = scan.need;
	return true;
}

bool
scim_json_scan(const char *text, size_t start, size_t len, size_t *need, ScimError *err)
{
	return scan_text(text, start, len, false, need, err);
}

/* ---- what jansson lets pass ---- */

static int
compare_names(const void *a, const void *b)
{
	return scim_name_compare(*(const char *const *) a, *(const char *const *) b);
}

/* Names that differ only in case are the same attribute (RFC 7643 2.1). */
static bool
check_names(const json_t *object, ScimError *err)
{
	size_t		n = json_object_size(object);
	const char **names;
	size_t		i = 0;
	void	   *iter;

	if (n < 2)
		return true;
	names = scim_alloc(sizeof(char *) * n);
	if (names == NULL)
		return scim_fail_memory(err);
	for (iter = json_object_iter((json_t *) object); iter; iter = json_object_iter_next((json_t *) object, iter))
		names[i++] = json_object_iter_key(iter);
	qsort(names, n, sizeof(char *), compare_names);
	for (i = 1; i < n; i++)
		if (compare_names(&names[i - 1], &names[i]) == 0)
			return scim_fail(err, 400, SCIM_INVALID_SYNTAX, "an object has the same member twice");
	scim_free(names);
	return true;
}

static bool
check_tree(const json_t *value, ScimError *err)
{
	void	   *iter;

	switch (json_typeof(value))
	{
		case JSON_ARRAY:
			for (size_t i = 0; i < json_array_size(value); i++)
				if (!check_tree(json_array_get(value, i), err))
					return false;
			return true;
		case JSON_OBJECT:
			if (!check_names(value, err))
				return false;
			for (iter = json_object_iter((json_t *) value); iter; iter = json_object_iter_next((json_t *) value, iter))
				if (!check_tree(json_object_iter_value(iter), err))
					return false;
			return true;
		default:
			return true;
	}
}

/*
 * What jansson says, which has read "consumed" bytes of text[start, len) and
 * stopped in the token that they end in, or at the end.
 */
static void
parse_failed(const char *text, size_t start, size_t len, const json_error_t *error, ScimError *err)
{
	const char *scim_type = SCIM_INVALID_SYNTAX;
	const char *detail;
	size_t		consumed = start + (size_t) error->position;
	size_t		i = start;
	Token		token;

	do
		if (!next_token(text, len, &i, &token))
			token.start = token.end = len;
	while (token.end < consumed && token.start < len);
	switch (json_error_code(error))
	{
		case json_error_numeric_overflow:
			scim_type = SCIM_INVALID_VALUE;
			detail = "a number is out of range";
			break;
		case json_error_duplicate_key:
			detail = "an object has the same member twice";
			break;
		case json_error_premature_end_of_input:
			token.start = len;
			detail = "the JSON text ends too early";
			break;
		case json_error_end_of_input_expected:
			detail = "something follows the JSON text";
			break;
		default:
			detail = "the body is not valid JSON";
	}
	scim_fail_at(err, 400, scim_type, (int) token.start, "%s", detail);
}

static json_t *
parse(const char *text, size_t len, bool stored, ScimError *err)
{
	ScimCoreFrame frame;
	json_t	   *value;
	json_error_t error;
	size_t		start = 0;
	size_t		need;

	/* RFC 8259 8.1: a byte order mark may be ignored */
	if (len >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0)
		start = 3;
	if (!scan_text(text, start, len, stored, &need, err))
		return NULL;
	scim_core_enter(&frame);
	value = NULL;
	if (!scim_reserve_begin(need))
		scim_fail_memory(err);
	else
	{
		value = json_loadb(text + start, len - start, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
		scim_reserve_end();
		if (value == NULL)
			parse_failed(text, start, len, &error, err);
		else if (!check_tree(value, err))
			value = NULL;
	}
	scim_core_leave(&frame);
	return value;
}

json_t *
scim_json_parse(const char *text, size_t len, ScimError *err)
{
	return parse(text, len, false, err);
}

json_t *
scim_json_parse_stored(const char *text, size_t len, ScimError *err)
{
	return parse(text, len, true, err);
}
