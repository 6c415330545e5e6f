"""Small templates, one or a few for each part of Jinja that chat templates use; make.py renders them with jinja2."""

# Lines of expressions, each of which becomes a template of its own.
EXPRESSIONS = r"""
1 + 2 * 3 - 4 / 2
7 // 2 ~ ' ' ~ (-7 // 2) ~ ' ' ~ -7 % 3 ~ ' ' ~ 7 % -3 ~ ' ' ~ 7.5 // 2 ~ ' ' ~ -7.5 % 2
2 ** 10 ~ ' ' ~ 2 ** -1 ~ ' ' ~ 2.0 ** 3 ~ ' ' ~ 10 / 4 ~ ' ' ~ 10 / 5
0x1F + 0b101 + 0o17 + 1_000
1e3 ~ ' ' ~ 1.5e-7 ~ ' ' ~ 1e16 ~ ' ' ~ 123456789.123 ~ ' ' ~ 1e22 ~ ' ' ~ 0.1
-1 | abs
'a' 'b' "c"
'\x41\u00e9\U0001F600\n\t\\\'\"\101\q'
"tab\there"
[1, 'a', none, true, 2.5, 'it\'s', "say \"x\"", 'both \' and "', 'nl\n', 'é', '\u200b', '\x7f']
{'a': 1, "b": [1, 2], 3: {'c': none}, true: 'x'}
(1,) ~ ' ' ~ () ~ ' ' ~ (1, 2)
{1: 'a', true: 'b', 1.0: 'c'}
'abc'[0] ~ 'abc'[-1] ~ 'abc'[1:] ~ 'abcdef'[::-2] ~ 'abcdef'[-3:-1] ~ 'naïve'[2] ~ 'naïve'[1:4]
[1, 2, 3][5] is defined
[1, 2, 3, 4][1:-1] ~ ' ' ~ [1, 2, 3][::-1] ~ ' ' ~ (1, 2, 3)[:2] ~ ' ' ~ [1, 2][9:] ~ [1, 2, 3][-9:2]
messages[0].role ~ messages[0]['content'] ~ messages[0].nothing ~ messages[9]
messages[0].get('role') ~ messages[0].get('x') ~ messages[0].get('x', 'y')
messages[0].keys() | list ~ ' ' ~ messages[0].values() | list ~ ' ' ~ messages[0].items()
messages | length ~ ' ' ~ messages | count ~ ' ' ~ 'naïve' | length
messages | map(attribute='role') | list
messages | selectattr('role', 'equalto', 'user') | map(attribute='content') | join('|')
messages | rejectattr('role', 'in', ['user', 'system']) | list
messages | selectattr('tool_calls', 'defined') | list | length
(messages | selectattr('role', 'equalto', 'nobody')) is defined ~ ' yes' if messages | selectattr('role', 'equalto', 'nobody') else 'no'
messages | selectattr('role') | first
messages | map(attribute='x', default='d') | list
['b', 'A', 'c'] | sort ~ ['b', 'A', 'c'] | sort(case_sensitive=true) ~ [3, 1, 2] | sort(reverse=true)
[{'n': 2, 'm': 'x'}, {'n': 1, 'm': 'y'}, {'n': 1, 'm': 'a'}] | sort(attribute='n,m')
[{'n': 2}, {'n': 1}] | sort(attribute='n') | map(attribute='n') | join
{'b': 1, 'A': 2, 'c': 0} | dictsort ~ {'b': 1, 'A': 2} | dictsort(true) ~ {'b': 1, 'a': 2} | dictsort(by='value', reverse=true)
['a', 'A', 'b', 'a'] | unique | list ~ [1, 2, 2] | unique | join(',')
[1, 2, 3] | sum ~ ' ' ~ [{'p': 1}, {'p': 2.5}] | sum(attribute='p') ~ ' ' ~ [[1], [2]] | sum(start=[])
[3, 1, 2] | min ~ [3, 1, 2] | max ~ ['b', 'C'] | max ~ [] | max | default('none')
[1, 2, 3, 4, 5] | batch(2, 'x') | list ~ [1, 2, 3, 4, 5] | slice(3) | list
[1, 2, 3] | first ~ [1, 2, 3] | last ~ 'abc' | first ~ 'abc' | last ~ [] | first | default('e')
[1, 2, 3] | reverse | list ~ 'abc' | reverse
[{'k': 'a', 'v': 1}, {'k': 'b', 'v': 2}, {'k': 'A', 'v': 3}] | groupby('k')
range(5) | select('odd') | list ~ range(5) | reject('divisibleby', 2) | list ~ [0, 1, '', 'a'] | select | list
['a', 'b'] | map('upper') | list ~ [' a '] | map('trim') | list ~ ['a-b'] | map('replace', '-', '+') | list
nothing | default('d') ~ '' | default('d') ~ '' | default('d', true) ~ none | default('d') ~ none | d('x', boolean=true)
'  x \n' | trim ~ 'xxaxx' | trim('x') ~ 'abc' | upper ~ 'ÀÉ' | lower ~ 'straße' | upper ~ 'hello world-foo' | title ~ 'hELLO wORLD' | capitalize
'a-b-a' | replace('a', 'x') ~ 'aaa' | replace('a', 'b', 2) ~ 'ab' | replace('', '.')
'x' | center(5) ~ '|' ~ 'ab' | center(5) ~ '|' ~ 'abc' | center(6) ~ '|'
'%s is %d, %5.2f %r %x %03d %-4s| %%' | format('a', 3, 2.5, 'q', 255, 7, 'z')
'%(a)s %(b)s' | format(a=1, b='x') ~ '%s' % 'y' ~ '%s-%s' % (1, 2) ~ '%e' % 12345.678 ~ '%g' % 0.0001
'{} {}'.format(1, 'a') ~ '{0}{1}{0}'.format('x', 'y') ~ '{n}'.format(n=3) ~ '{{}}'.format()
'42' | int + 1 ~ ' ' ~ 'x' | int ~ ' ' ~ 'x' | int(7) ~ ' ' ~ '3.9' | int ~ ' ' ~ '0x1f' | int(base=16) ~ ' ' ~ 2.9 | int ~ ' ' ~ true | int ~ '1_0' | int
'1.5' | float ~ ' ' ~ 'x' | float ~ ' ' ~ 3 | float ~ ' ' ~ 'x' | float(2.0) ~ ' 1e3' | float
2.5 | round ~ ' ' ~ 3.5 | round ~ ' ' ~ 2.675 | round(2) ~ ' ' ~ 2.1 | round(method='ceil') ~ ' ' ~ 2.789 | round(1, 'floor') ~ ' ' ~ 5 | round
'a\nb\n\nc' | indent ~ '|' ~ 'a\nb' | indent(2, true) ~ '|' ~ 'a\n\nb' | indent(1, blank=true) ~ 'a\nb' | indent('> ')
'foo bar baz qux' | truncate(9) ~ 'foo bar baz qux' | truncate(9, true) ~ 'foo bar baz qux' | truncate(11) ~ 'foo bar baz qux' | truncate(11, false, '...', 0)
'a b/c?é&' | urlencode ~ 'one two,three' | wordcount
{'a': [1, 2.0, none, true, "é\n\"<>&'"], 'b': {}, 'c': []} | tojson
{'a': [1, {'b': 2}], 'c': [], 'd': {}} | tojson(indent=2)
{'b': 1, 'a': 'é😀\x7f\x01'} | tojson(ensure_ascii=true, sort_keys=true, separators=(',', ':'))
[1, 'x'] | tojson(indent='--') ~ (1, 2) | tojson ~ 'x' | tojson ~ 1e20 | tojson ~ {1: 2, none: 3, true: 4, 1.5: 5} | tojson
'<a>' | safe + '<b>' ~ '<c>' | e ~ ('<d>' | safe) ~ ('a' | safe | upper) ~ ['<' | safe]
'<&"\'>' | escape ~ '<' | forceescape
('a<' | safe).join(['<b>', 'c']) ~ ('<x>' | safe).replace('x', '<') ~ ('<' | safe) * 2
[1, [2, 3]] | string ~ none | string ~ 1 | string | length
'a b  c'.split() ~ 'a,b,c'.split(',') ~ 'a,b,c'.split(',', 1) ~ 'a b c'.rsplit(' ', 1) ~ 'a,b,c'.rsplit(',', 1) ~ ' a  b c '.split(none, 1) ~ ' a  b c '.rsplit(none, 1) ~ ''.split() ~ ''.split(',')
'<think>x</think>y'.split('</think>')[-1].lstrip('\n') ~ 'xyx'.strip('x') ~ ' a '.lstrip() ~ '|' ~ ' a '.rstrip() ~ '|' ~ 'abcabc'.rstrip('cb')
'abc'.startswith('a') ~ 'abc'.endswith(('x', 'c')) ~ 'abc'.startswith('b', 1) ~ 'abc'.find('c') ~ 'abc'.find('x') ~ 'abcabc'.rfind('b') ~ 'néa'.find('a') ~ 'aXbX'.count('X') ~ 'abc'.index('b')
'Hello World'.title() ~ "it's".title() ~ 'aB'.swapcase() ~ 'abc'.capitalize() ~ 'ABC'.lower() ~ 'abc'.upper() ~ '7'.zfill(3) ~ '-7'.zfill(4) ~ 'a'.ljust(3) ~ '|' ~ 'a'.rjust(3, '.') ~ 'ab'.center(5, '*') ~ 'abc'.center(4, '*')
'abc'.isalpha() ~ '12'.isdigit() ~ 'a1'.isalnum() ~ ' '.isspace() ~ 'AB'.isupper() ~ 'ab'.islower() ~ ''.isdigit() ~ 'Ab'.islower()
'a=b=c'.partition('=') ~ 'a=b=c'.rpartition('=') ~ 'abc'.partition('x') ~ 'prefix-x'.removeprefix('prefix-') ~ 'x.txt'.removesuffix('.txt') ~ 'a\nb\r\nc'.splitlines() ~ 'a\nb\n'.splitlines(true)
','.join(['a', 'b']) ~ ''.join('abc') ~ 'a'.replace('a', 'b') ~ [1, 2, 1].count(1) ~ [1, 2].index(2) ~ (1, 2).index(2)
'a' in 'abc' ~ ' ' ~ ('x' not in 'abc') ~ ' ' ~ (1 in [1, 2]) ~ ' ' ~ ('role' in messages[0]) ~ ' ' ~ (2 in range(3)) ~ ' ' ~ ('' in '')
1 < 2 < 3 ~ ' ' ~ (1 < 2 > 3) ~ ' ' ~ ('a' < 'b') ~ ' ' ~ ([1, 2] < [1, 3]) ~ ' ' ~ (1 == 1.0) ~ ' ' ~ (1 == true) ~ ' ' ~ ('1' == 1) ~ ' ' ~ ([1] == (1,)) ~ ' ' ~ (none == none)
true and 'x' or 'y'
not true or false and nothing
'' or [] or none or 0 or 'last'
'yes' if messages else 'no'
'x' if false
('x' if false) is defined ~ (nothing is undefined) ~ (none is none) ~ (messages is iterable) ~ (messages is sequence) ~ (messages[0] is mapping) ~ (messages[0] is sequence) ~ ('a' is string) ~ ('a' is iterable)
1 is number ~ 1 is integer ~ 1.0 is float ~ true is number ~ true is integer ~ true is boolean ~ true is true ~ 1 is true ~ false is false ~ none is false
3 is odd ~ 4 is even ~ 9 is divisibleby 3 ~ 9 is divisibleby(2) ~ 1 is eq 1 ~ 1 is ne 2 ~ 1 is lt 2 ~ 2 is ge(2) ~ 1 is sameas 1 ~ 'a' is in 'abc' ~ 1 is not in [2]
'ab' is lower ~ 'AB' is upper ~ 'upper' is filter ~ 'odd' is test ~ 'nope' is filter ~ range is callable ~ ('a' | safe) is escaped
nothing is string ~ nothing is mapping ~ nothing is iterable ~ nothing is sequence ~ nothing is none ~ (nothing == nothing) ~ (nothing == none)
nothing ~ '|' ~ (nothing | length) ~ (nothing | list) ~ (nothing | join) ~ (nothing | string) ~ (nothing | upper) ~ ('x' in nothing) ~ (nothing | first) ~ (nothing | items | list) ~ (nothing | sort)
{'a': 1}.items() | list ~ {'a': 1} | items | list ~ {'a': 1}.items() is sequence ~ ({'a': 1} | items) is iterable ~ {'items': 5}.items is callable ~ {'items': 5}['items'] ~ {'keys': 1}.keys() | list
dict(a=1, b=2) ~ dict([('x', 1)]) ~ dict({'a': 1}, b=3)
range(3) ~ range(1, 7, 2) | list ~ range(5, 0, -2) | list ~ range(3)[1] ~ range(0)
[1] + [2] ~ [0] * 3 ~ 'ab' * 2 ~ 2 * 'x' ~ (1,) + (2,) ~ 'a' * 0
namespace(a=1) ~ namespace(a=1).a ~ namespace(a=1)['a'] ~ namespace().b is defined
[1, 2, 3] | join(', ') ~ [{'a': 1}, {'a': 2}] | join('+', attribute='a') ~ ['x', none, 1.0] | join('/')
messages | tojson
messages[0] | attr('role') is defined ~ 'abc' | attr('upper') is defined
true ~ none ~ 1.0 ~ True ~ None
'x'.upper is defined ~ 'x'.pop is defined ~ messages.append is defined ~ messages[0].pop is defined
strftime_now('%d %b %Y')
bos_token ~ eos_token ~ unk_token is defined
tools is none ~ documents is none ~ add_generation_prompt
(((1))) + ((2))
-messages | length
- 1 | abs
+1 ~ -(2) ~ --3
not 1 == 2
1 if 2 if 0 else 3
'a' ~ 1 + 2 ~ 'b'
[1, 2,] ~ (1, 2,) ~ {'a': 1,}
messages.0.role
'a.b'.split('.')[1] ~ '5'.0
'İI'.lower() ~ 'ΑΣ'.lower() ~ 'ǆ'.upper()
"\u2028" ~ ['\u2028', '\xa0', '\ue000', '😀', '日本']
'ab'.format() ~ 'a b'.split(' ') | last ~ 'x y'.split()[0]
{'a': {'b': [10, 20]}} | tojson | length ~ [{'a': {'b': [10, 20]}}] | map(attribute='a.b.1') | list
"%s" | format([1, 'a']) ~ '%s' % none ~ '%r' % 'a' ~ '%.2s|' % 'abcdef' ~ '%+d' % 3 ~ '%5s|%-5s|' % ('a', 'b')
'a' + 1
1 + nothing
nothing.x
nothing()
messages[0]()
1 / 0
[] + {}
{} | tojson ~ nothing | tojson
'a' < 1
{[1]: 2}
1 in 'abc'
none | length
1 | list
[1, 'a'] | sort
messages.pop()
messages[0].update({'a': 1})
'x' | nosuchfilter
'x' is nosuchtest
('x' | nosuchfilter) if false else 'fine'
'a'.split('')
raise_exception('refused')
namespace(_x=1)
range(1000000)
'%d' % 'x'
'%s %s' % 'x'
'{'.format()
messages[:'x']
[1, 2][::0]
loop is defined
{% raw %}
"""

# Whole templates.
TEMPLATES = [
    "{% for m in messages %}{{ loop.index }}{{ loop.index0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.revindex }}"
    "{{ loop.revindex0 }}{{ loop.depth }}{{ loop.cycle('a', 'b') }}{{ loop.previtem.role if loop.previtem is defined }}"
    "{{ loop.nextitem.role if loop.nextitem is defined }};{% endfor %}",
    "{% for m in messages if m.role == 'user' %}{{ loop.index }}/{{ loop.length }}{{ m.content }}{% else %}none{% endfor %}",
    "{% for m in messages if m.role == 'nobody' %}x{% else %}none{% endfor %}",
    "{% for x in [] %}x{% else %}{% for y in 'ab' %}{{ y }}{% endfor %}{% endfor %}",
    "{% for k, v in {'a': 1, 'b': 2}.items() %}{{ k }}={{ v }},{% endfor %}{% for (a, b), c in [((1, 2), 3)] %}{{ a }}{{ b }}{{ c }}{% endfor %}",
    "{% for x in [1, 2, 3, 4] %}{% if x == 2 %}{% continue %}{% endif %}{% if x == 4 %}{% break %}{% endif %}{{ x }}{% endfor %}",
    "{% for x in [1, 1, 2] %}{{ loop.changed(x) }}{% endfor %}",
    "{% for x in [1, [2, [3]], 4] recursive %}{% if x is iterable %}[{{ loop(x) }}]{% else %}{{ x }}:{{ loop.depth }}{% endif %}{% endfor %}",
    "{% set x = 1 %}{% for i in [1, 2] %}{{ x }}{% set x = x + 1 %}{{ x }}{% endfor %}{{ x }}",
    "{% set ns = namespace(x=1, y='a') %}{% for i in [1, 2] %}{% set ns.x = ns.x + i %}{% set ns.z = i %}{% endfor %}{{ ns.x }}{{ ns.y }}{{ ns.z }}",
    "{% set ns = namespace(n=0) %}{% for i in range(10) if ns.n < 3 %}{% set ns.n = ns.n + 1 %}{{ i }}{% endfor %}",
    "{% set a, b = 1, 2 %}{{ a }}{{ b }}{% set (c, d) = [3, 4] %}{{ c }}{{ d }}{% set e = 1, %}{{ e }}",
    "{% set x %}a{{ 1 + 1 }}b{% endset %}{{ x }}{{ x | length }}{% set y | upper | trim %} abc {% endset %}[{{ y }}]",
    "{% set x = 0 %}{% set y %}{% set x = 5 %}{{ x }}{% endset %}{{ y }}{{ x }}",
    "{% if false %}a{% elif messages %}b{% else %}c{% endif %}{% if true %}{% set z = 1 %}{% endif %}{{ z }}",
    "{% if 1 %}{% if 0 %}x{% else %}y{% endif %}{% endif %}",
    "{% macro m(a, b='B', c=a) %}{{ a }}{{ b }}{{ c }}{% endmacro %}{{ m(1) }}{{ m(1, 2) }}{{ m(1, c=3) }}{{ m() }}{{ m(b=1, a=2) }}",
    "{% macro m(a) %}{{ a }}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1, 2, 3, x=4) }}{{ m.name }}",
    "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, 2) }}",
    "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(x=2) }}",
    "{% macro m() %}<{{ caller('x') }}>{% endmacro %}{% call(a) m() %}{{ a }}y{% endcall %}{% call(a) m() %}{{ messages[0].role }}{% endcall %}",
    "{% macro m() %}{{ caller is defined }}{{ caller() if caller }}{% endmacro %}{{ m() }}{% call m() %}in{% endcall %}",
    "{% macro fact(n) %}{{ n if n < 2 else n * (fact(n - 1) | int) }}{% endmacro %}{{ fact(6) }}",
    "{% macro outer() %}{{ later }}{{ x }}{% endmacro %}{% set later = 'L' %}{% for x in [1] %}{{ outer() }}{% endfor %}",
    "{% macro m() %}{% set inner = 1 %}{{ inner }}{% endmacro %}{{ m() }}{{ inner is defined }}",
    "{%- macro a() -%} x {%- endmacro -%} {{- a() }} {%+ if true +%} y {% endif %}",
    "{% filter upper %}ab{{ 'c' }}{% endfilter %}{% filter replace('a', 'b') | upper %}aa{% endfilter %}",
    "{% with x = 1, y = 2 %}{{ x + y }}{% endwith %}{{ x is defined }}{% with %}{% set q = 1 %}{% endwith %}{{ q is defined }}",
    "{% generation %}{{ messages[0].content }}{% set g = 1 %}{% endgeneration %}{{ g is defined }}",
    "{% for m in messages %}{% generation %}{{ loop.index }}{{ m.role }}{% endgeneration %}{% endfor %}",
    "{% raw %}{{ x }} {% if %}{% endraw %}|{%- raw -%} {# a #} {%- endraw -%} | {% raw %}\n{% endraw %}\nx",
    "a{# comment #}b{#- x -#} c {# {{ }} {% %} #}\nd\n  {# e #}\nf",
    "  {% if true %}\n  x\n  {% endif %}\n  y {% if true %} z {% endif %}\n",
    "a\n  {%- if true %}\n  b\n  {%- endif %}\n c",
    "a\n  {%+ if true %}\n  b\n  {%+ endif %}\n c",
    "a  {{- 'b' -}}  c  {{ 'd' }}  e\n{{ 'f' }}\n",
    "x\r\ny\rz\n\n",
    "x {% if true -%}  y  {%- endif %} z\n\n\n",
    "{% block b %}in{{ messages[0].role }}{% endblock %}{% block c scoped %}{% endblock c %}",
    "{% print 1, 'a' %}",
    "{{ 'a' if add_generation_prompt else 'b' }}{{ enable_thinking is defined }}",
    "{{- bos_token }}{%- for m in messages %}{{- m['content'] | trim }}{%- endfor %}",
    "{% set m = messages[1:] %}{{ m | length }}{{ messages[::-1][0].content }}{{ messages[-1].content }}",
    "{% set d = {'a': 1} %}{% set d = dict(d, b=2) %}{{ d }}",
    "{% for c in 'né' %}{{ c }}|{% endfor %}{% for k in {'x': 1} %}{{ k }}{% endfor %}{% for x in (1, 2) %}{{ x }}{% endfor %}",
    "{% set g = messages | map(attribute='role') %}{{ g | list }}{{ g | list }}",
    "{% for x in messages | selectattr('role', 'equalto', 'user') %}{{ loop.last }}{{ loop.length }}{% endfor %}",
    "{{ {'a': {'b': 1}}.a.b }}{{ {'a': [{'b': 1}]}['a'][0]['b'] }}{{ {'a-b': 2}['a-b'] }}",
    "{% if messages[0]['role'] == 'system' %}s{% set loop_messages = messages[1:] %}{% else %}{% set loop_messages = messages %}{% endif %}{{ loop_messages | length }}",
    "{% for i in range(3) %}{% for j in range(2) %}{{ loop.index }}{% endfor %}{{ loop.index }}{% set o = loop %}{% for j in [1] %}{{ o.index }}{% endfor %}{% endfor %}",
    "{% set x = messages[0].content if messages[0].content is string else messages[0].content | map(attribute='text') | join %}{{ x }}",
    "{% if tools is defined and tools is not none %}{{ tools | tojson(indent=4) }}{% endif %}{{ (tools or []) | length }}",
    "{% for m in messages %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('alternate') }}{% endif %}{% endfor %}",
    "{% for x in 5 %}{% endfor %}",
    "{% for a, b in [[1]] %}{% endfor %}",
    "{% set x.y = 1 %}",
    "{% include 'x' %}",
    "{% do 1 %}",
    "{% for x in y %}",
    "{% if %}{% endif %}",
    "{{ 'x' }",
    "{{ (1 }}",
    "{% endfor %}",
    "{{ 1 2 }}",
    "{# never",
    "{% set true = 1 %}",
    "{% break %}",
    "{% macro m(a=1, b) %}{% endmacro %}",
    "{{ 'x' is defined is string }}",
    "{% unknown %}",

    "\n",
    "{{ x }}{% set x = 1 %}{{ x }}",
    "{%- set ns = namespace(found=false) -%}{%- for m in messages -%}{%- if not ns.found and m.role == 'user' -%}{%- set ns.found = true -%}{{ m.content }}{%- endif -%}{%- endfor -%}",
]

def all_templates():
    expressions = [line for line in EXPRESSIONS.strip("\n").split("\n") if not line.startswith("{%")]
    return ["{{ " + line + " }}" for line in expressions] + TEMPLATES
