/*
 * load_report.c
 *		Latencies, and the report.
 */
#include "load.h"

void
load_record(LoadLatencies *latencies, int64_t latency)
{
	uint64_t	value = latency > 0 ? latency : 0;
	int			octave = value < LOAD_STEPS ? 0 : 63 - __builtin_clzll(value) - LOAD_STEP_BITS + 1;
	int			bucket = octave == 0 ? (int) value :
		octave * LOAD_STEPS + (int) ((value >> (octave - 1)) & (LOAD_STEPS - 1));

	latencies->histogram[bucket]++;
	latencies->count++;
	latencies->sum += value;
	if (latency > latencies->longest)
		latencies->longest = latency;
}

/*
 * The latency that "part" of all answers did not exceed, in microseconds; exact
 * to 1.6 %.
 */
static double
percentile(const LoadLatencies *latencies, double part)
{
	uint64_t	wanted = (uint64_t) (part * latencies->count);
	uint64_t	seen = 0;

	for (int i = 0; i < LOAD_BUCKETS; i++)
	{
		seen += latencies->histogram[i];
		if (seen > wanted || (seen > 0 && seen == latencies->count))
		{
			int			octave = i / LOAD_STEPS;

			if (octave == 0)
				return i / 1000.0;
			return (((uint64_t) (LOAD_STEPS + i % LOAD_STEPS) << (octave - 1)) + ((UINT64_C(1) << (octave - 1)) >> 1)) / 1000.0;
		}
	}
	return 0;
}

static void
print_text(FILE *file, const char *text)
{
	fputc('"', file);
	for (; *text != '\0'; text++)
	{
		if (*text == '"' || *text == '\\')
			fprintf(file, "\\%c", *text);
		else if ((unsigned char) *text < ' ' || *text == 127)
			fprintf(file, "\\u%04x", (unsigned char) *text);
		else
			fputc(*text, file);
	}
	fputc('"', file);
}

static void
print_latencies(FILE *file, const LoadLatencies *latencies)
{
	fprintf(file, "\"mean_us\": %.1f, \"p50_us\": %.1f, \"p90_us\": %.1f, \"p99_us\": %.1f, \"p999_us\": %.1f, \"max_us\": %.1f",
			latencies->count > 0 ? latencies->sum / latencies->count / 1000.0 : 0.0, percentile(latencies, 0.5),
			percentile(latencies, 0.9), percentile(latencies, 0.99), percentile(latencies, 0.999), latencies->longest / 1000.0);
}

/*
 * One JSON object on one line.
 */
void
load_report(FILE *file)
{
	const LoadRun *run = &load_run;
	double		late = run->rate > 0 ? run->rate * (run->warm + run->seconds) - run->issued : 0;
	bool		comma = false;

	fprintf(file, "{\"connections\": %d, \"seconds\": %.3f, \"requests\": %llu, \"answers\": %llu, \"answers_in_time\": %llu, \"rate\": %.1f",
			run->connections, run->seconds, (unsigned long long) run->issued, (unsigned long long) run->completed,
			(unsigned long long) run->in_time, run->in_time / run->seconds);
	if (run->rate > 0)
		fprintf(file, ", \"asked_rate\": %.1f, \"never_sent\": %.0f", run->rate, late > 1 ? late : 0);
	if (run->watched != NULL)
		fprintf(file, ", \"cpu_us\": %.2f", run->in_time > 0 ? run->cpu * 1e6 / run->in_time : 0.0);
	fprintf(file, ", \"bytes_per_second\": %.0f, ", run->bytes_in_time / run->seconds);
	print_latencies(file, &run->latencies);
	fprintf(file, ", \"connections_opened\": %llu, \"bodies_checked\": %llu, \"statuses\": {",
			(unsigned long long) run->opened, (unsigned long long) run->checked);
	for (int i = 0; i < LOAD_MAX_STATUS; i++)
	{
		if (run->statuses[i] == 0)
			continue;
		fprintf(file, "%s\"%d\": %llu", comma ? ", " : "", i, (unsigned long long) run->statuses[i]);
		comma = true;
	}
	fputs("}, \"scenarios\": {", file);
	for (int i = 0; i < run->scenario_count; i++)
	{
		if (i > 0)
			fputs(", ", file);
		print_text(file, run->scenarios[i].name);
		fprintf(file, ": {\"answers\": %llu, ", (unsigned long long) run->scenarios[i].latencies.count);
		print_latencies(file, &run->scenarios[i].latencies);
		fputc('}', file);
	}
	fprintf(file, "}, \"errors\": %llu", (unsigned long long) run->errors);
	if (run->errors > 0)
	{
		fputs(", \"first_error\": ", file);
		print_text(file, run->first_error);
	}
	fputs("}\n", file);
}
