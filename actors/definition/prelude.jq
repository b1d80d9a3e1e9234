# The functions of the language that can make or visit much at once, or that are made of others that can. What a
# program calls of them is compiled with it. Within this file
#
#   raw::f(…)  is the interpreter's own f, which nothing bounds;
#   go::f(…)   is a function of the budget: it charges, or does the work itself;
#   free::f    is one that needs no budget.
#
# A function stands after those that it calls. The names that begin with _ are for the rewriter alone.

# What the interpreter works out in one go: charged first.

def tostring: if type == "string" then . else go::encode | raw::tostring end;
def tojson: go::encode | raw::tojson;
def fromjson: go::decode | raw::fromjson;
def tonumber: go::number | raw::tonumber;
def keys: go::keys | raw::keys;
def keys_unsorted: keys;
def add: go::sum | raw::add;
def reverse: if type == "array" then go::copy | raw::reverse elif length == 0 then [] else raw::reverse end;
def explode: go::explode | raw::explode;
def implode: go::copy | raw::implode;
def ascii_downcase: go::copy | raw::ascii_downcase;
def ascii_upcase: go::copy | raw::ascii_upcase;
def transpose: go::transpose | raw::transpose;
def flatten: go::visit | raw::flatten;
def flatten($depth): go::visit | raw::flatten($depth);
def join($separator): go::join($separator) | raw::join($separator);
def split($separator): go::split($separator) | raw::split($separator);
def contains($x): go::contains($x) | raw::contains($x);
def inside($x): go::inside($x) | raw::inside($x);
def indices($x): go::search($x) | raw::indices($x);
def index($x): go::search($x) | raw::index($x);
def rindex($x): go::search($x) | raw::rindex($x);
def bsearch($x): go::bsearch($x) | raw::bsearch($x);
def min: go::order | raw::min;
def max: go::order | raw::max;
def sort: go::order | raw::sort;
def unique: go::order | raw::unique;
def strftime($format): go::time($format) | raw::strftime($format);
def now: go::now;
def uuid: go::uuid;
def strptime($format): go::time($format) | raw::strptime($format);
def getpath($path): go::reach($path) | raw::getpath($path);
def path(f): raw::path(f) | go::copy;
def setpath(path; value): value as $value | path as $path | go::setpath($path; $value);
def delpaths($paths): go::delpaths($paths);

# Numbers.

def gamma: lgamma;
def lgamma_r: go::lgamma;
def have_decnum: true;
def have_literal_numbers: true;

# Formats.

def _text: tostring;
def _json: tojson;
def _html: go::encode | raw::_tohtml;
def _uri: go::encode | raw::_touri;
def _urid: go::encode | raw::_tourid;
def _csv: go::encode | raw::_tocsv;
def _tsv: go::encode | raw::_totsv;
def _sh: go::encode | raw::_tosh;
def _base64: go::encode | raw::_tobase64;
def _base64d: go::encode | raw::_tobase64d;
def format($name): go::encode | raw::format($name);

# Lists and objects.

def map(f): [.[] | f];
def add(f): [f] | add;
def min_by(f): map([f]) as $keys | go::order($keys) | raw::_min_by($keys);
def max_by(f): map([f]) as $keys | go::order($keys) | raw::_max_by($keys);
def sort_by(f): map([f]) as $keys | go::order($keys) | raw::_sort_by($keys);
def group_by(f): map([f]) as $keys | go::order($keys) | raw::_group_by($keys);
def unique_by(f): map([f]) as $keys | go::order($keys) | raw::_unique_by($keys);
def to_entries: if type == "object" then go::entries else [keys[] as $k | {key: $k, value: .[$k]}] end;
def from_entries:
  map({(.key // .Key // .name // .Name): if has("value") then .value else .Value end}) | add // {};
def with_entries(f): to_entries | map(f) | from_entries;
def map_values(f):
  if type == "object"
  then . as $whole | [.[] | [label $done | f | ., break $done]] | go::replaced($whole)
  else [.[] | first(f)]
  end;
def all: all(.[]; .);
def all(f): all(.[]; f);
def any: any(.[]; .);
def any(f): any(.[]; f);
def first: .[0];
def last: .[-1];
def nth($i): .[$i];
def combinations:
  if length == 0 then [] else .[0][] as $x | .[1:] | combinations as $rest | [$x] + $rest end;
def combinations(n): [range(n) as $i | .] | combinations;
def recurse: def down: ., (.[]? | down); down;
def walk(f):
  def each:
    if free::isScalar then .
    elif type == "array" then [.[] | each]
    else . as $whole | [.[] | [label $done | each | ., break $done]] | go::replaced($whole)
    end
    | f;
  each;

# Paths.

def paths: go::paths("parts")[];
def paths(f): . as $whole | go::paths("all")[] as $p | $whole | raw::getpath($p) | select(f) | $p | select(length > 0);
def leaf_paths: go::paths("leaves")[];
def del(f): delpaths([path(f)]);
def pick(f): . as $whole | reduce path(f) as $p (null; setpath($p; $whole | getpath($p)));
def _assign(p; $value): go::edit as $edit | reduce path(p) as $p (null; go::put($edit; $p; $value)) | go::finish($edit);
def _modify(p; f):
  go::edit as $edit
  | reduce path(p) as $p (null;
      label $done
      | (go::get($edit; $p) | f | go::put($edit; $p; .) | (., break $done)), go::drop($edit; $p))
  | go::finish($edit);
def tostream: go::stream[];
def fromstream(f):
  foreach f as $event ({done: true};
    $event as [$p, $leaf]
    | (if .done then {value: null} else . end)
    | if ($event | length) == 2
      then .value = (.value | setpath($p; $leaf)) | .done = ($p == [])
      else .done = (($p | length) == 1)
      end;
    if .done then .value else empty end);
def truncate_stream(f):
  . as $depth | null | f | if (.[0] | length) > $depth then .[0] |= .[$depth:] else empty end;

# Regular expressions.

def match($re; $flags): go::match($re; $flags)[];
def match($re): if $re | type == "array" then match($re[0]; $re[1]) else match($re; null) end;
def test($re; $flags): go::test($re; $flags);
def test($re): if $re | type == "array" then test($re[0]; $re[1]) else test($re; null) end;
def capture($re; $flags): match($re; $flags) | .captures | raw::_captures;
def capture($re): if $re | type == "array" then capture($re[0]; $re[1]) else capture($re; null) end;
def scan($re; $flags):
  match($re; $flags + "g") | if (.captures | length) == 0 then .string else [.captures[].string] end;
def scan($re): scan($re; null);
def split($re; $flags): go::pieces($re; $flags + "g");
def splits($re; $flags): split($re; $flags)[];
def splits($re): splits($re; null);
def sub($re; with; $flags):
  . as $whole
  | go::pieces($re; $flags) as $rest
  | [match($re; $flags) | [.captures | raw::_captures | with]] as $found
  | if all($found[]; length == 1)
    then [range($rest | length) as $i | $rest[$i], $found[$i][]?] | add
    else
      reduce range($found | length) as $i
        ([]; reduce range($found[$i] | length) as $n (.; .[$n] += $rest[$i] + $found[$i][$n]))
      | if length == 0 then $whole else .[] + $rest[-1] end
    end;
def sub($re; with): sub($re; with; null);
def gsub($re; with; $flags): sub($re; with; $flags + "g");
def gsub($re; with): sub($re; with; "g");

# SQL-like.

def INDEX(stream; f): [stream as $row | ($row | f | tostring) as $key | [$key, $row]] | go::object;
def INDEX(f): INDEX(.[]; f);
def JOIN($index; f): [.[] | [., $index[f]]];
def JOIN($index; stream; f): stream | [., $index[f]];
def JOIN($index; stream; f; g): stream | [., $index[f]] | g;
def IN(stream): any(stream == .; .);
def IN(source; stream): any(source == stream; .);
