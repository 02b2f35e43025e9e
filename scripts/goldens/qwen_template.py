"""The chat template of the Qwen goldens: ChatML with a default system message, in the manner of Qwen2.5's, and with
every construct that the renderer must agree on. A module, not a command.
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
