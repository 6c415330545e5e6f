#!/usr/bin/env python3
"""Writes expected.json: what transformers makes of conversations with chat templates: those of TEMPLATES, the small ones
of features.py, and hashes for the files of a folder of templates of real models (kept out of the repository).
usage: make.py FOLDER; needs transformers and jinja2"""
import datetime
import json
import pathlib
import sys

import transformers.utils.chat_template_utils as utils

import features

ALTERNATE = ("{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Conversation roles must "
             "alternate user/assistant/user/assistant/...') }}{% endif %}")
TEMPLATES = {
    "SmolLM2": (
        "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\n"
        "You are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n' }}{% endif %}{{'<|im_start|>' + "
        "message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ "
        "'<|im_start|>assistant\n' }}{% endif %}"),
    "Qwen2": (
        "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\\nYou "
        "are a helpful assistant.<|im_end|>\\n' }}{% endif %}{{'<|im_start|>' + message['role'] + '\\n' + "
        "message['content'] + '<|im_end|>' + '\\n'}}{% endfor %}{% if add_generation_prompt %}{{ "
        "'<|im_start|>assistant\\n' }}{% endif %}"),
    # Without what it says about tools.
    "Qwen3": (
        "{%- if messages[0].role == 'system' %}\n    {{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' "
        "}}\n{%- endif %}\n{%- for message in messages %}\n    {%- if (message.role == \"user\") or (message.role == "
        "\"system\" and not loop.first) %}\n        {{- '<|im_start|>' + message.role + '\\n' + message.content + "
        "'<|im_end|>' + '\\n' }}\n    {%- elif message.role == \"assistant\" %}\n        {%- set content = "
        "message.content %}\n        {%- set reasoning_content = '' %}\n        {%- if '</think>' in message.content %}\n"
        "            {%- set content = message.content.split('</think>')[-1].lstrip('\\n') %}\n            {%- set "
        "reasoning_content = message.content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}\n"
        "        {%- endif %}\n        {%- if loop.last %}\n            {{- raise_exception('a last answer') }}\n        "
        "{%- else %}\n            {{- '<|im_start|>' + message.role + '\\n' + content }}\n        {%- endif %}\n        "
        "{{- '<|im_end|>\\n' }}\n    {%- endif %}\n{%- endfor %}\n{%- if add_generation_prompt %}\n    {{- "
        "'<|im_start|>assistant\\n' }}\n{%- endif %}"),
    # The same.
    "Llama-3.2": (
        "{{- bos_token }}\n{%- if not date_string is defined %}\n    {%- if strftime_now is defined %}\n        {%- set "
        "date_string = strftime_now(\"%d %b %Y\") %}\n    {%- else %}\n        {%- set date_string = \"26 Jul 2024\" %}\n"
        "    {%- endif %}\n{%- endif %}\n{%- if messages[0]['role'] == 'system' %}\n    {%- set system_message = "
        "messages[0]['content']|trim %}\n    {%- set messages = messages[1:] %}\n{%- else %}\n    {%- set system_message "
        "= \"\" %}\n{%- endif %}\n\n{#- System message #}\n{{- \"<|start_header_id|>system<|end_header_id|>\\n\\n\" }}\n"
        "{{- \"Cutting Knowledge Date: December 2023\\n\" }}\n{{- \"Today Date: \" + date_string + \"\\n\\n\" }}\n"
        "{{- system_message }}\n{{- \"<|eot_id|>\" }}\n{%- for message in messages %}\n    {{- '<|start_header_id|>' + "
        "message['role'] + '<|end_header_id|>\\n\\n'+ message['content'] | trim + '<|eot_id|>' }}\n{%- endfor %}\n{%- if "
        "add_generation_prompt %}\n    {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}\n{%- endif %}\n"),
    "ChatML": (
        "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + "
        "'\\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"),
    "Llama-2": (
        "{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}{% set system_message = "
        "messages[0]['content'] %}{% else %}{% set loop_messages = messages %}{% set system_message = false %}{% endif %}"
        "{% for message in loop_messages %}" + ALTERNATE + "{% if loop.index0 == 0 and system_message != false %}{% set "
        "content = '<<SYS>>\\n' + system_message + '\\n<</SYS>>\\n\\n' + message['content'] %}{% else %}{% set content = "
        "message['content'] %}{% endif %}{% if message['role'] == 'user' %}{{ bos_token + '[INST] ' + content.strip() + "
        "' [/INST]' }}{% elif message['role'] == 'assistant' %}{{ ' '  + content.strip() + ' ' + eos_token }}{% endif %}"
        "{% endfor %}"),
    "Llama-3": (
        "{% set loop_messages = messages %}{% for message in loop_messages %}{% set content = '<|start_header_id|>' + "
        "message['role'] + '<|end_header_id|>\n\n'+ message['content'] | trim + '<|eot_id|>' %}{% if loop.index0 == 0 %}"
        "{% set content = bos_token + content %}{% endif %}{{ content }}{% endfor %}{% if add_generation_prompt %}{{ "
        "'<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"),
    "Mistral-7B-v0.1": (
        "{{ bos_token }}{% for message in messages %}" + ALTERNATE + "{% if message['role'] == 'user' %}{{ '[INST] ' + "
        "message['content'] + ' [/INST]' }}{% elif message['role'] == 'assistant' %}{{ message['content'] + eos_token + "
        "' ' }}{% else %}{{ raise_exception('Only user and assistant roles are supported!') }}{% endif %}{% endfor %}"),
    "Mistral-7B-v0.2": (
        "{{ bos_token }}{% for message in messages %}" + ALTERNATE + "{% if message['role'] == 'user' %}{{ '[INST] ' + "
        "message['content'] + ' [/INST]' }}{% elif message['role'] == 'assistant' %}{{ message['content'] + eos_token}}"
        "{% else %}{{ raise_exception('Only user and assistant roles are supported!') }}{% endif %}{% endfor %}"),
    "Mistral-v1": (
        "{%- if messages[0]['role'] == 'system' %}\n    {%- set system_message = messages[0]['content'] %}\n    {%- set "
        "loop_messages = messages[1:] %}\n{%- else %}\n    {%- set loop_messages = messages %}\n{%- endif %}\n\n{{- "
        "bos_token }}\n{%- for message in loop_messages %}\n    {%- if (message['role'] == 'user') != (loop.index0 % 2 == "
        "0) %}\n        {{- raise_exception('roles must alternate') }}\n    {%- endif %}\n    {%- if message['role'] == "
        "'user' %}\n        {%- if loop.first and system_message is defined %}\n            {{- ' [INST] ' + "
        "system_message + '\\n\\n' + message['content'] + ' [/INST]' }}\n        {%- else %}\n            {{- ' [INST] ' "
        "+ message['content'] + ' [/INST]' }}\n        {%- endif %}\n    {%- elif message['role'] == 'assistant' %}\n"
        "        {{- ' ' + message['content'] + eos_token}}\n    {%- else %}\n        {{- raise_exception('Only user and "
        "assistant roles are supported') }}\n    {%- endif %}\n{%- endfor %}\n"),
    "Mistral-v7": (
        "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'user' %}{{ '[INST] ' + message['content'] "
        "+ '[/INST]' }}{% elif message['role'] == 'system' %}{{ '[SYSTEM_PROMPT] ' + message['content'] + "
        "'[/SYSTEM_PROMPT]' }}{% elif message['role'] == 'assistant' %}{{ ' ' + message['content'] + eos_token }}"
        "{% else %}{{ raise_exception('Only user, system and assistant roles are supported!') }}{% endif %}{% endfor %}"),
    "Phi-3-mini": (
        "{% for message in messages %}{% if message['role'] == 'system' %}{{'<|system|>\n' + message['content'] + "
        "'<|end|>\n'}}{% elif message['role'] == 'user' %}{{'<|user|>\n' + message['content'] + '<|end|>\n'}}{% elif "
        "message['role'] == 'assistant' %}{{'<|assistant|>\n' + message['content'] + '<|end|>\n'}}{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% else %}{{ eos_token }}{% endif %}"),
    "Phi-3-small": (
        "{{ bos_token }}{% for message in messages %}{{'<|' + message['role'] + '|>' + '\n' + message['content'] + "
        "'<|end|>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% else %}{{ eos_token }}"
        "{% endif %}"),
    "Phi-4-mini": (
        "{% for message in messages %}{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% else %}{{ eos_token }}{% endif %}"),
    "Zephyr": (
        "{% for message in messages %}\n{% if message['role'] == 'user' %}\n{{ '<|user|>\n' + message['content'] + "
        "eos_token }}\n{% elif message['role'] == 'system' %}\n{{ '<|system|>\n' + message['content'] + eos_token }}\n"
        "{% elif message['role'] == 'assistant' %}\n{{ '<|assistant|>\n'  + message['content'] + eos_token }}\n{% endif "
        "%}\n{% if loop.last and add_generation_prompt %}\n{{ '<|assistant|>' }}\n{% endif %}\n{% endfor %}"),
    "Gemma": (
        "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}"
        "{% endif %}{% for message in messages %}" + ALTERNATE + "{% if (message['role'] == 'assistant') %}{% set role = "
        "'model' %}{% else %}{% set role = message['role'] %}{% endif %}{{ '<start_of_turn>' + role + '\n' + "
        "message['content'] | trim + '<end_of_turn>\n' }}{% endfor %}{% if add_generation_prompt %}{{'<start_of_turn>"
        "model\n'}}{% endif %}"),
    "Gemma-3": (
        "{{ bos_token }}\n{%- if messages[0]['role'] == 'system' -%}\n    {%- set first_user_prefix = "
        "messages[0]['content'] + '\n\n' -%}\n    {%- set loop_messages = messages[1:] -%}\n{%- else -%}\n    {%- set "
        "first_user_prefix = \"\" -%}\n    {%- set loop_messages = messages -%}\n{%- endif -%}\n{%- for message in "
        "loop_messages -%}\n    " + ALTERNATE.replace("{%", "{%-").replace("%}", "-%}") + "\n    {%- if (message['role'] "
        "== 'assistant') -%}\n        {%- set role = \"model\" -%}\n    {%- else -%}\n        {%- set role = "
        "message['role'] -%}\n    {%- endif -%}\n    {{ '<start_of_turn>' + role + '\n' + (first_user_prefix if loop.first "
        "else \"\") }}\n    {%- if message['content'] is string -%}\n        {{ message['content'] | trim }}\n    {%- endif "
        "-%}\n    {{ '<end_of_turn>\n' }}\n{%- endfor -%}\n{%- if add_generation_prompt -%}\n    {{'<start_of_turn>model\n"
        "'}}\n{%- endif -%}\n"),
    "DeepSeek-V2": (
        "{% if not add_generation_prompt is defined %}{% set add_generation_prompt = false %}{% endif %}{{ bos_token }}"
        "{% for message in messages %}{% if message['role'] == 'user' %}{{ 'User: ' + message['content'] + '\n\n' }}"
        "{% elif message['role'] == 'assistant' %}{{ 'Assistant: ' + message['content'] + eos_token }}{% elif "
        "message['role'] == 'system' %}{{ message['content'] + '\n\n' }}{% endif %}{% endfor %}{% if "
        "add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"),
    "Vicuna": (
        "{%- for message in messages %}{%- if message['role'] == 'system' -%}{{- '' + message['content'] + '\n\n' -}}"
        "{%- else -%}{%- if message['role'] == 'user' -%}{{-'USER: ' + message['content'] + '\n'-}}{%- else -%}"
        "{{-'ASSISTANT: ' + message['content'] + '</s>\n' -}}{%- endif -%}{%- endif -%}{%- endfor -%}{%- if "
        "add_generation_prompt -%}{{-'ASSISTANT:'-}}{%- endif -%}"),
}

SYSTEM = ["system", " Be brief. "]
TALK = [["user", "Hello"], ["assistant", "Hi there"], ["user", " \n Who are you?\n"], ["assistant", "  An assistant \n"],
        ["user", "Bye"]]
THOUGHT = [["user", "2 + 2?"], ["assistant", "<think>\nhm\n</think>\n\n4"], ["user", "Thanks"]]
CONVERSATIONS = [THOUGHT, TALK[:1], TALK, TALK[:4], [SYSTEM] + TALK[2:3], [SYSTEM] + TALK, TALK[1:3]]


TIME = 1721995200  # kFixedChatTime
TOKENS = {"bos_token": "<s>", "eos_token": "</s>"}


def user(text):
    return {"role": "user", "content": text}


def answer(text, **more):
    return {"role": "assistant", "content": text, **more}


def system(text):
    return {"role": "system", "content": text}


def conversations():
    """For the templates of real models: with and without a system message, tools, reasoning, parts, odd orders."""
    tools = [
        {"type": "function", "function": {
            "name": "get_weather", "description": "Gets the \"weather\" <now> & later f\u00fcr Z\u00fcrich.",
            "parameters": {"type": "object", "required": ["city"], "properties": {
                "city": {"type": "string", "description": "The city"},
                "unit": {"type": "string", "enum": ["C", "F"], "default": "C"},
                "days": {"type": "integer", "nullable": True},
                "deep": {"type": "object", "properties": {"a": {"type": "array", "items": {"type": ["string", "null"]}}},
                         "required": ["a"]}}},
            "return": {"type": "string"}}},
        {"type": "function", "function": {"name": "noop", "description": "Nothing",
                                          "parameters": {"type": "object", "properties": {}}}}]

    def call(arguments):
        return [{"id": "abcdef123", "type": "function", "function": {"name": "get_weather", "arguments": arguments}}]

    parsed = call({"city": "Z\u00fcrich", "days": 3, "x": 1.5, "l": [1, "a", None, True]})
    text = call('{"city": "Paris"}')
    result = {"role": "tool", "content": '{"t": 20}', "name": "get_weather", "tool_call_id": "abcdef123"}
    chats = [
        [user("Hello")],
        [system(" Be brief. "), user("Hi")],
        [user("Hello"), answer("Hi there"), user(" \n Who are you?\n"), answer("  An assistant \n"), user("Bye")],
        [system("You are\na test."), user("2+2?"), answer("<think>\nhm\n</think>\n\n4"), user("Thanks")],
        [user("a"), answer("b")],
        [system("s"), user("a"), answer("<think>x</think>b")],
        [user("a"), user("b")],
        [answer("x"), user("y")],
        [system("only")],
        [user("x"), answer("", reasoning_content="because"), user("z")],
        [user("x"), answer("yes", reasoning_content="because")],
        [user("w?"), answer("", tool_calls=parsed), result, answer("20 degrees"), user("thanks")],
        [user("w?"), answer(None, tool_calls=parsed), result],
        [user("w?"), answer("let me see", tool_calls=text), result, user("and?")],
        [system("sys"), user("w?"), answer("t", tool_calls=parsed + parsed), result, result],
        [user([{"type": "text", "text": "part1"}, {"type": "text", "text": " part2"}])],
        [user([{"type": "image"}, {"type": "text", "text": "what"}])],
        [system("s"), user("\U0001f600 na\u00efve \u201cquotes\u201d \u65e5\u672c"), answer("ok\tTab"), user("<|im_end|> & <b>")],
        [{"role": "developer", "content": "dev"}, user("x")],
    ]
    out = []
    for messages in chats:
        out += [{"messages": messages}, {"messages": messages, "tools": tools}]
    out.append({"messages": chats[0], "enable_thinking": False})
    out.append({"messages": chats[3], "enable_thinking": True, "tools": tools})
    out.append({"messages": chats[0], "documents": [{"title": "t", "text": "x"}]})
    return out


class FixedTime(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return datetime.datetime.fromtimestamp(TIME)


def render(template, conversation, generate):
    """The text, or None where the template or jinja2 refuses."""
    variables = {**TOKENS, **conversation}
    messages = utils._normalize_chat_messages(variables.pop("messages"))
    tools = variables.pop("tools", None)
    try:
        return utils.render_jinja_template([messages], tools=tools, chat_template=template,
                                           add_generation_prompt=generate, **variables)[0][0]
    except Exception:
        return None


def fnv(texts):
    value = 0xCBF29CE484222325
    for text in texts:
        for byte in (b"\xff" if text is None else text.encode()) + b"\0":
            value = (value ^ byte) * 0x100000001B3 % 2**64
    return f"{value:016x}"


def main():
    utils.datetime = FixedTime
    out = []
    for name, text in TEMPLATES.items():
        for messages in CONVERSATIONS:
            dicts = [dict(zip(("role", "content"), m)) for m in messages]
            for generate in (True, False):
                result = render(text, {"messages": dicts}, generate)
                out.append({"name": name, "messages": messages, "generate": generate, "result": result})
    chat = [user('H\u00e9"llo <x>'), answer(" A\n"), user("Bye")]
    small = [[text, render(text, {"messages": chat}, True)] for text in features.all_templates()]
    chats = conversations()
    files = {}
    for path in sorted(pathlib.Path(sys.argv[1]).glob("*.jinja")):
        template = path.read_text()
        files[path.name] = [fnv([render(template, chat, g) for g in (True, False)]) for chat in chats]

    def lines(items):
        return ",\n".join(json.dumps(x, separators=(",", ":")) for x in items)

    with open(pathlib.Path(__file__).parent / "expected.json", "w") as f:
        f.write('{"templates":' + json.dumps(TEMPLATES, indent=0) + ',\n"cases":[\n' + lines(out) + '\n],\n"chat":' +
                json.dumps(chat) + ',\n"features":[\n' + lines(small) + '\n],\n"conversations":[\n' + lines(chats) +
                '\n],\n"files":{\n' + ",\n".join(f'"{k}":{json.dumps(v)}' for k, v in files.items()) + "\n}}\n")


main()
