"""Chat templates of the Qwen goldens, this project's own. A module, not a command.

`TEMPLATE` is ChatML with a default system message, in the manner of Qwen2.5's; `THINKING` takes thoughts out of answers
that are past and may forbid new ones, in the manner of Qwen3's. Each has the constructs that the renderer must agree on.
"""

TEMPLATE = """\
{%- if messages[0]['role'] == 'system' %}
    {{- '<|im_start|>system\\n' + messages[0]['content'] + '<|im_end|>\\n' }}
    {%- set turns = messages[1:] %}
{%- else %}
    {{- '<|im_start|>system\\nYou describe pictures.<|im_end|>\\n' }}
    {%- set turns = messages %}
{%- endif %}
{% for message in turns %}
    {% if message.role not in ['user', 'assistant'] %}
        {{- raise_exception('no such role: ' ~ message.role) }}
    {% endif %}
    {%- if message.role == 'assistant' and not loop.last %}
        {{- '<|im_start|>assistant\\n' ~ (message.content | trim) ~ '<|im_end|>\\n' }}
    {%- else %}
        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' }}
        {{- '\\n' if not loop.last or add_generation_prompt }}
    {%- endif %}
{% endfor %}
{% if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{% else %}
    {{- eos_token }}
{% endif %}
"""

THINKING = """\
{%- set found = namespace(searching=true, at=messages|length - 1) %}
{%- for message in messages[::-1] %}
    {%- set n = (messages|length - 1) - loop.index0 %}
    {%- if found.searching and message.role == "user" and message.content is string
        and not(message.content.startswith('<observed>') and message.content.endswith('</observed>')) %}
        {%- set found.searching = false %}
        {%- set found.at = n %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- set content = message.content if message.content is string else '' %}
    {%- if message.role == 'assistant' %}
        {%- set thought = '' %}
        {%- if message.thought is defined and message.thought is not none %}
            {%- set thought = message.thought %}
        {%- elif '</think>' in content %}
            {%- set thought = content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}
            {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
        {%- endif %}
        {%- if loop.index0 > found.at and (loop.last or thought) %}
            {{- '<|im_start|>assistant\\n<think>\\n' + thought.strip('\\n') + '\\n</think>\\n\\n' + content.lstrip('\\n') }}
        {%- else %}
            {{- '<|im_start|>' + message.role + '\\n' + content }}
        {%- endif %}
        {{- '<|im_end|>\\n' }}
    {%- else %}
        {{- '<|im_start|>' + message.role + '\\n' + content.replace('\\t', ' ') + '<|im_end|>' + '\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\\n\\n</think>\\n\\n' }}
    {%- endif %}
{%- endif %}
"""
