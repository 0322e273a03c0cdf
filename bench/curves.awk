# curves.awk - tables, JSON and plots of a run of bench/curves.sh.
#
# Input, separated by tabs: curve (users, group, page), series, size, us.
# Variables: file (what the names of the files written begin with), and what is
# said about the machine.

function text(s)
{
	gsub(/["\\]/, "\\\\&", s)
	return "\"" s "\""
}

function log10(x)
{
	return log(x) / log(10)
}

function short(n)
{
	return n >= 1000000 ? n / 1000000 " M" : n >= 10000 ? n / 1000 " k" : n
}

function time(us)
{
	return us >= 1000000 ? us / 1000000 " s" : us >= 1000 ? us / 1000 " ms" : us " us"
}

# All series of a curve as a table, and as lines in a plane of two logarithms.
function draw(curve, title, unit,    svg, width, height, left, top, x0, x1, y0, y1, i, j, s, n, size, px, py, at, low, high, points)
{
	low = 1e30
	high = 0
	printf "\n%-44s", title
	for (j = 1; j <= sizes[curve]; j++)
		printf "%10s", short(size_of[curve, j])
	printf "   last / first\n"
	printf "%s\n    %s: {\"unit\": \"us\", \"series\": [", (curves++ ? "," : ""), text(curve) > (file ".json")
	for (i = 1; i <= series[curve]; i++) {
		s = series_of[curve, i]
		printf "%-44s", s
		printf "%s\n      {\"name\": %s, \"points\": [", (i > 1 ? "," : ""), text(s) > (file ".json")
		n = 0
		for (j = 1; j <= sizes[curve]; j++) {
			size = size_of[curve, j]
			if (!((curve, s, size) in us)) {
				printf "%10s", ""
				continue
			}
			at = us[curve, s, size]
			low = at < low ? at : low
			high = at > high ? at : high
			printf "%10.0f", at
			printf "%s[%d, %.1f]", (n++ ? ", " : ""), size, at > (file ".json")
			last[s] = at
			if (n == 1)
				first[s] = at
		}
		printf "%10.2f\n", last[s] / first[s]
		printf "]}" > (file ".json")
	}
	printf "\n    ]}" > (file ".json")

	svg = file "-" curve ".svg"
	width = 460; height = 300; left = 70; top = 40
	x0 = log10(size_of[curve, 1])
	x1 = log10(size_of[curve, sizes[curve]])
	if (x1 == x0)
		x1 = x0 + 1
	y0 = int(log10(low)); y1 = int(log10(high)) + 1
	printf "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" font-family=\"sans-serif\" font-size=\"12\">\n", width + left + 270, height + top + 50 > svg
	printf "<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n<text x=\"10\" y=\"20\">%s (scim %s, %s)</text>\n", title, commit, date > svg
	for (i = y0; i <= y1; i++) {
		py = top + height * (y1 - i) / (y1 - y0)
		printf "<line x1=\"%d\" y1=\"%.0f\" x2=\"%d\" y2=\"%.0f\" stroke=\"#ccc\"/><text x=\"%d\" y=\"%.0f\" text-anchor=\"end\">%s</text>\n", left, py, left + width, py, left - 6, py + 4, time(10 ^ i) > svg
	}
	for (j = 1; j <= sizes[curve]; j++) {
		px = left + width * (log10(size_of[curve, j]) - x0) / (x1 - x0)
		printf "<line x1=\"%.0f\" y1=\"%d\" x2=\"%.0f\" y2=\"%d\" stroke=\"#eee\"/><text x=\"%.0f\" y=\"%d\" text-anchor=\"middle\">%s</text>\n", px, top, px, top + height, px, top + height + 18, short(size_of[curve, j]) > svg
	}
	printf "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">%s</text>\n", left + width / 2, top + height + 38, unit > svg
	for (i = 1; i <= series[curve]; i++) {
		s = series_of[curve, i]
		points = ""
		for (j = 1; j <= sizes[curve]; j++) {
			size = size_of[curve, j]
			if (!((curve, s, size) in us))
				continue
			px = left + width * (log10(size) - x0) / (x1 - x0)
			py = top + height * (y1 - log10(us[curve, s, size])) / (y1 - y0)
			points = points sprintf("%.1f,%.1f ", px, py)
			printf "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3\" fill=\"%s\"/>\n", px, py, color[i] > svg
		}
		printf "<polyline points=\"%s\" fill=\"none\" stroke=\"%s\" stroke-width=\"2\"/>\n", points, color[i] > svg
		printf "<rect x=\"%d\" y=\"%d\" width=\"12\" height=\"12\" fill=\"%s\"/><text x=\"%d\" y=\"%d\">%s</text>\n", left + width + 12, top + i * 20 - 10, color[i], left + width + 30, top + i * 20, s > svg
	}
	printf "</svg>\n" > svg
}

{
	if (!(($1, $2) in seen_series)) {
		seen_series[$1, $2] = 1
		series_of[$1, ++series[$1]] = $2
	}
	if (!(($1, $3) in seen_size)) {
		seen_size[$1, $3] = 1
		size_of[$1, ++sizes[$1]] = $3
	}
	us[$1, $2, $3] = $4
}

END {
	split("#1f77b4 #ff7f0e #2ca02c #d62728 #9467bd #8c564b #e377c2 #17becf", color, " ")
	printf "scim %s, %s; %s, %d x %s, data on %s\n", commit, date, postgres, cpus, model, disk
	printf "One client over HTTP, the sizes in turn; median times in microseconds\n"
	printf "{\n  \"date\": %s, \"commit\": %s, \"postgres\": %s, \"machine\": %s, \"cpu\": %s, \"cpus\": %d, \"disk\": %s,\n  \"curves\": {",
		text(date), text(commit), text(postgres), text(machine), text(model), cpus, text(disk) > (file ".json")
	draw("users", "Time of a request by users stored", "users stored")
	draw("group", "Time of a request by members of the group", "members of the group")
	draw("page", "Time of a page of 100 by its number", "number of the page")
	printf "\n  }\n}\n" > (file ".json")
}
