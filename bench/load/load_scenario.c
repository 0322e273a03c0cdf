/*
 * load_scenario.c
 *		Scenario files, their data, and the texts that are made of them.
 */
#include <stdlib.h>
#include <string.h>

#include "load.h"

static LoadSegment *
add_segment(LoadTemplate *template, LoadSegmentKind kind)
{
	LoadSegment *segment;

	if (template->count == template->size)
	{
		template->size = template->size * 2 + 8;
		template->segments = realloc(template->segments, template->size * sizeof(LoadSegment));
		if (template->segments == NULL)
			load_fatal("out of memory");
	}
	segment = &template->segments[template->count++];
	memset(segment, 0, sizeof(LoadSegment));
	segment->kind = kind;
	return segment;
}

static void
add_text(LoadTemplate *template, const char *text, size_t len)
{
	LoadSegment *segment;

	if (len == 0)
		return;
	segment = add_segment(template, LOAD_SEGMENT_TEXT);
	segment->text = text;
	segment->len = len;
}

/*
 * Cut a text at its placeholders.  The text has to live as long as the
 * template.  {run} is the same in all requests, so it becomes text.
 */
static void
compile(LoadScenario *scenario, LoadTemplate *template, const char *text)
{
	const char *start = text;
	const char *p = text;

	while (*p != '\0')
	{
		const char *placeholder = p;

		if (*p == '{' && p[1] >= '1' && p[1] <= '9' && p[2] == '}')
			p += 3;
		else if (strncmp(p, "{n}", 3) == 0)
			p += 3;
		else if (strncmp(p, "{run}", 5) == 0)
			p += 5;
		else if (strncmp(p, "{carry}", 7) == 0)
			p += 7;
		else
		{
			p++;
			continue;
		}

		add_text(template, start, placeholder - start);
		start = p;
		if (placeholder[1] == 'n')
			add_segment(template, LOAD_SEGMENT_NUMBER);
		else if (placeholder[1] == 'r')
			add_text(template, load_run.tag, strlen(load_run.tag));
		else if (placeholder[1] == 'c')
			add_segment(template, LOAD_SEGMENT_CARRY);
		else
		{
			int			column = placeholder[1] - '1';

			add_segment(template, LOAD_SEGMENT_COLUMN)->column = column;
			if (column + 1 > scenario->columns)
				scenario->columns = column + 1;
		}
	}
	add_text(template, start, p - start);
}

/*
 * Append a template with the values of the connection's request.
 */
void
load_render(LoadBuffer *buffer, const LoadTemplate *template, const LoadConnection *c)
{
	for (int i = 0; i < template->count; i++)
	{
		const LoadSegment *segment = &template->segments[i];
		const char *column = c->row;
		char		digits[24];

		switch (segment->kind)
		{
			case LOAD_SEGMENT_TEXT:
				load_append(buffer, segment->text, segment->len);
				break;
			case LOAD_SEGMENT_COLUMN:
				for (int skip = segment->column; skip > 0; skip--)
					column += strlen(column) + 1;
				load_append_text(buffer, column);
				break;
			case LOAD_SEGMENT_NUMBER:
				snprintf(digits, sizeof(digits), "%llu", (unsigned long long) c->number);
				load_append_text(buffer, digits);
				break;
			case LOAD_SEGMENT_CARRY:
				if (c->carry.len > 0)
					load_append_text(buffer, c->carry.data);
				break;
		}
	}
}

static void
read_rows(LoadScenario *scenario, const char *path, const char *beside)
{
	size_t		len;
	size_t		lines = 0;
	char	   *text = load_read_file(path, beside, &len);
	char	   *save;

	for (size_t i = 0; i < len; i++)
		lines += text[i] == '\n';
	scenario->rows = load_allocate((lines + 1) * sizeof(char *));
	for (char *line = strtok_r(text, "\n", &save); line != NULL; line = strtok_r(NULL, "\n", &save))
		scenario->rows[scenario->row_count++] = line;
	if (scenario->row_count == 0)
		load_fatal("%s holds no row", path);
}

/*
 * Separate the columns of all rows, and make sure that each has as many as the
 * scenario asks for.
 */
static void
split_rows(LoadScenario *scenario)
{
	if (scenario->columns > 0 && scenario->row_count == 0)
		load_fatal("%s names columns but no data", scenario->name);
	for (size_t i = 0; i < scenario->row_count; i++)
	{
		int			columns = 1;

		for (char *p = scenario->rows[i]; *p != '\0'; p++)
		{
			if (*p == '\t')
			{
				*p = '\0';
				columns++;
			}
		}
		if (columns < scenario->columns)
			load_fatal("row %zu of the data has %d columns, %s uses %d", i + 1, columns, scenario->name, scenario->columns);
	}
}

static LoadOrder
read_order(const char *value)
{
	if (strcmp(value, "in-order") == 0)
		return LOAD_ORDER_GIVEN;
	if (strcmp(value, "walk") == 0)
		return LOAD_ORDER_WALK;
	if (strcmp(value, "random") == 0)
		return LOAD_ORDER_RANDOM;
	load_fatal("rows: \"%s\" is no order", value);
}

/*
 * Read a scenario; "url" is for one that names none.
 */
void
load_scenario_read(LoadScenario *scenario, const char *path, const char *url)
{
	char	   *text = load_read_file(path, NULL, NULL);
	char	   *save;

	scenario->name = path;
	scenario->token = load_run.token;
	scenario->status = 200;
	strcpy(scenario->method, "GET");
	for (char *line = strtok_r(text, "\n", &save); line != NULL; line = strtok_r(NULL, "\n", &save))
	{
		size_t		word = strcspn(line, " \t");
		char	   *value = line + word + strspn(line + word, " \t");

		line[word] = '\0';
		if (*line == '#' || *line == '\0')
			continue;
		if (strcmp(line, "url") == 0)
			url = value;
		else if (strcmp(line, "token-file") == 0)
			scenario->token = load_read_token(value, path);
		else if (strcmp(line, "method") == 0 && strlen(value) < sizeof(scenario->method))
			strcpy(scenario->method, value);
		else if (strcmp(line, "path") == 0)
			compile(scenario, &scenario->path, value);
		else if (strcmp(line, "data") == 0)
			read_rows(scenario, value, path);
		else if (strcmp(line, "rows") == 0)
			scenario->order = read_order(value);
		else if (strcmp(line, "status") == 0)
			scenario->status = atoi(value);
		else if (strcmp(line, "carry") == 0)
			scenario->carry = value;
		else if (strcmp(line, "expect") == 0 && scenario->expect_count < LOAD_MAX_EXPECT)
			compile(scenario, &scenario->expect[scenario->expect_count++], value);
		else if (strcmp(line, "header") == 0 && scenario->header_count < LOAD_MAX_HEADERS)
			scenario->headers[scenario->header_count++] = value;
		else if (strcmp(line, "body") == 0)
		{
			size_t		len;
			char	   *body = load_read_file(value, path, &len);

			/* a text editor's last newline is not part of a body */
			while (len > 0 && body[len - 1] == '\n')
				body[--len] = '\0';
			compile(scenario, &scenario->body, body);
			scenario->has_body = true;
		}
		else
			load_fatal("%s: \"%s\" is not a word of a scenario, or one too many", path, line);
	}
	split_rows(scenario);
	if (url == NULL)
		load_fatal("%s names no URL, and there is no --url", path);
	scenario->target = load_target(url);
}
