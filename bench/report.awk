# report.awk - the table, the JSON and the plot of a run of bench/run.sh.
#
# Files, by the number of their columns (separated by tabs):
#   8  round, name, rate, p50 ms, p99 ms, CPU us, yardstick's rate, its CPU us
#   4  "few" or "many", name, rate, CPU us: with few users stored and with many
#   2  name, value: figures that stand for themselves
# Variables: json, svg (files to write), and what is said about the machine.

function median_of(list, n,    i, j, swap)
{
	for (i = 2; i <= n; i++)
		for (j = i; j > 1 && list[j - 1] > list[j]; j--) {
			swap = list[j]; list[j] = list[j - 1]; list[j - 1] = swap
		}
	return n % 2 ? list[(n + 1) / 2] : (list[n / 2] + list[n / 2 + 1]) / 2
}

function median(name, column,    i, n, list)
{
	n = 0
	for (i = 1; i <= count; i++)
		if (what[i] == name)
			list[++n] = value[i, column] + 0
	return median_of(list, n)
}

function noted(name,    i, n, list)
{
	n = 0
	for (i = 1; i <= notes; i++)
		if (note_name[i] == name)
			list[++n] = note_value[i] + 0
	return median_of(list, n)
}

function extreme(name, column, sign,    i, best, found)
{
	for (i = 1; i <= count; i++)
		if (what[i] == name && (!found++ || sign * value[i, column] > sign * best))
			best = value[i, column] + 0
	return best
}

function rounded(x, digits)
{
	return sprintf("%." digits "f", x)
}

function text(s)
{
	gsub(/["\\]/, "\\\\&", s)
	return "\"" s "\""
}

# How a figure stands to what it should be; "low": less is better.
function verdict(x, least, aim, low)
{
	if (low)
		return x <= aim ? "aim" : x <= least ? "ok" : "BELOW"
	return x >= aim ? "aim" : x >= least ? "ok" : "BELOW"
}

function bar(title, x, least, aim, low)
{
	bars++
	bar_title[bars] = title
	# in parts of what is the least; where less is better, the other way round
	bar_value[bars] = low ? (x > 0 ? least / x : 9) : x / least
	bar_aim[bars] = low ? (aim > 0 ? least / aim : 9) : aim / least
	bar_text[bars] = x
}

function row(name, title, against, least, aim,    i, comma, r, http)
{
	http = name != "handle"
	r = median(name, 7)
	bar(title, rounded(r, 2), least, aim, 0)
	printf "%-26s %9.0f %7s %7s %7s   %-40s %8.0f %7s   %5.2f  %4.2f-%-5.2f %4.2f %5.2f  %s\n", title, median(name, 1),
		http ? rounded(median(name, 2), 2) : "", http ? rounded(median(name, 3), 2) : "", rounded(median(name, 4), 0),
		against, median(name, 5), rounded(median(name, 6), 0), r, extreme(name, 7, -1), extreme(name, 7, 1), least, aim, verdict(r, least, aim, 0)
	printf "%s\n    {\"name\": %s, \"rate\": %.1f, \"cpu_us\": %.1f, \"yardstick\": %s, \"tps\": %.1f, \"yardstick_cpu_us\": %.1f, \"ratio\": %.4f, \"at_least\": %.2f, \"aim\": %.2f",
		operations++ ? "," : "", text(name), median(name, 1), median(name, 4), text(against), median(name, 5), median(name, 6), r, least, aim > json
	if (http)
		printf ", \"p50_ms\": %.3f, \"p99_ms\": %.3f", median(name, 2), median(name, 3) > json
	printf ", \"rounds\": [" > json
	for (i = 1; i <= count; i++)
		if (what[i] == name)
			printf "%s{\"rate\": %.1f, \"cpu_us\": %.1f, \"tps\": %.1f, \"yardstick_cpu_us\": %.1f, \"ratio\": %.4f%s}", comma++ ? ", " : "",
				value[i, 1], value[i, 4], value[i, 5], value[i, 6], value[i, 7],
				http ? sprintf(", \"p50_ms\": %.3f, \"p99_ms\": %.3f", value[i, 2], value[i, 3]) : "" > json
	printf "]}" > json
}

function figure(name, title, x, digits, unit, least, aim, low)
{
	bar(title, rounded(x, digits), least, aim, low)
	printf "%-62s %9s %-5s %s %5s %5s  %s\n", title, rounded(x, digits), unit, low ? "<=" : ">=", least, aim, verdict(x, least, aim, low)
	printf "%s\n    {\"name\": %s, \"value\": %.4f, \"unit\": %s, \"%s\": %s, \"aim\": %s}", figures++ ? "," : "",
		text(name), x, text(unit), low ? "at_most" : "at_least", least, aim > json
}

# Each figure as a bar, in parts of what is the least: a line at 1, a mark at the
# aim.
function plot(    i, x, y, width, scale, color)
{
	scale = 130
	width = 330 + 4 * scale
	printf "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" font-family=\"sans-serif\" font-size=\"12\">\n", width + 60, bars * 24 + 60 > svg
	printf "<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n<text x=\"10\" y=\"20\">scim %s, %s, %s: in parts of what is the least (line), aim (mark)</text>\n", commit, date, postgres > svg
	for (i = 1; i <= bars; i++) {
		y = i * 24 + 14
		x = bar_value[i] > 4 ? 4 : bar_value[i]
		color = bar_value[i] < 1 ? "#c0392b" : bar_value[i] < bar_aim[i] ? "#2e86c1" : "#1e8449"
		printf "<text x=\"10\" y=\"%d\">%s</text><rect x=\"330\" y=\"%d\" width=\"%.0f\" height=\"16\" fill=\"%s\"/><text x=\"%.0f\" y=\"%d\">%s</text>\n",
			y + 12, bar_title[i], y, x * scale, color, 336 + x * scale, y + 12, bar_text[i] > svg
		if (bar_aim[i] <= 4)
			printf "<rect x=\"%.0f\" y=\"%d\" width=\"2\" height=\"20\" fill=\"black\"/>\n", 330 + bar_aim[i] * scale, y - 2 > svg
	}
	printf "<line x1=\"%d\" y1=\"30\" x2=\"%d\" y2=\"%d\" stroke=\"black\" stroke-dasharray=\"4 3\"/>\n</svg>\n", 330 + scale, 330 + scale, bars * 24 + 44 > svg
}

NF == 8 {
	what[++count] = $2
	for (i = 3; i <= 8; i++)
		value[count, i - 2] = $i
	value[count, 7] = $3 / $7
}

NF == 4 { stored_cpu[$1, $2] = $4 }

NF == 2 {
	note_name[++notes] = $1
	note_value[notes] = $2
}

END {
	printf "{\n  \"date\": %s, \"commit\": %s, \"postgres\": %s, \"machine\": %s, \"cpu\": %s, \"cpus\": %d, \"disk\": %s,\n",
		text(date), text(commit), text(postgres), text(machine), text(model), cpus, text(disk) > json
	printf "  \"users\": %d, \"members\": %d, \"rounds\": %d, \"seconds\": %d, \"listeners\": %d, \"connections\": %d, \"pgbench_clients\": %d, \"post_bytes\": %d, \"get_bytes\": %d, \"commits_alone\": %.0f,\n  \"operations\": [",
		users, members, rounds, seconds, listeners, connections, clients, body, answer, flush > json
	printf "%s, %d CPUs, data on %s; %d users; median of %d rounds of %d s\n", postgres, cpus, disk, users, rounds, seconds
	printf "HTTP: %d listeners, %d keep-alive connections, bearer token, no TLS; POST of %d bytes, GET of %d bytes\n", listeners, connections, body, answer
	printf "One session that does nothing but commit: %.0f commits/s (what a flush of the WAL costs here)\n\n", flush
	printf "%-26s %9s %7s %7s %7s   %-40s %8s %7s   %5s  %-10s %4s %5s\n", "", "per s", "p50 ms", "p99 ms", "CPU us", "yardstick: pgbench, " clients " clients", "per s", "CPU us", "ratio", "range", "min", "aim"
	row("get", "GET by id", "SELECT * by (tenant, id)", 0.25, 0.45)
	row("filter", "filter userName eq", "SELECT * by (tenant, fold(user_name))", 0.25, 0.45)
	row("external", "filter externalId eq", "SELECT * by (tenant, external_id)", 0.25, 0.45)
	row("email", "filter emails.value eq", "SELECT of the e-mail, and its user", 0.25, 0.45)
	row("page", "page of 100 users", "the same page as JSON, 1 statement", 0.8, 1.3)
	row("post", "POST of a full user", "INSERT of the same 12 rows, 1 statement", 0.4, 0.9)
	row("patch", "PATCH of one attribute", "UPDATE of title, 1 statement", 0.6, 1.2)
	row("bulk", "Bulk of 100 creates", "(single creates over HTTP)", 2, 4)
	row("handle", "scim.handle GET, in SQL", "SELECT * by (tenant, id)", 0.3, 0.5)
	printf "\n  ],\n  \"figures\": [" > json
	printf "\n%-62s %9s %-5s    %5s %5s\n", "", "", "", "limit", "aim"
	figure("members", "PATCH of a member, group of " members " / of 10, time", noted("members"), 2, "", 1.5, 1.1, 1)
	figure("group", "group of 100000 members as JSON", noted("group"), 1, "MB/s", 20, 100, 0)
	figure("scale_get", "GET, " users " users stored / 1000, requests per CPU second", stored_cpu["few", "get"] / stored_cpu["many", "get"], 2, "", 0.7, 0.9, 0)
	figure("scale_filter", "filter userName, " users " / 1000, the same", stored_cpu["few", "filter"] / stored_cpu["many", "filter"], 2, "", 0.7, 0.9, 0)
	figure("scale_email", "filter emails.value, " users " / 1000, the same", stored_cpu["few", "email"] / stored_cpu["many", "email"], 2, "", 0.7, 0.9, 0)
	figure("scale_walk", "pages in their order, " users " / 1000, the same", stored_cpu["few", "walk"] / stored_cpu["many", "walk"], 2, "", 0.7, 0.9, 0)
	figure("memory", "private memory of a listener, after " noted("requests") " requests of all", noted("memory"), 1, "MB", 10, 6, 1)
	figure("wakeups", "wake-ups of an idle listener", noted("wakeups"), 2, "/s", 1, 0.2, 1)
	figure("snapshots", "snapshots held by idle listeners", noted("snapshots"), 0, "", 0, 0, 1)
	figure("first", "first scim.handle of a session, nothing preloaded", noted("first"), 1, "ms", 30, 10, 1)
	printf "\n  ]\n}\n" > json
	plot()
}
