"""The JSON of the published documentation page, letter by letter."""

PROCESSED = """
{
"status_id": "1",
"status": "P",
"type": "O",
"is_default": "Y",
"description": "Processed",
"email_subj": "has been processed",
"email_header": "Your order has been processed successfully.",
"lang_code": "en",
"params":
{
"allow_return": "N",
"repay": "N",
"gift_cert_status": "P",
"notify": "Y",
"inventory": "D",
"color": "#97cf4d",
"remove_cc_info": "Y"
}
}
"""
COMPLETE = """
{
"status_id": "2",
"status": "C",
"type": "O",
"is_default": "Y",
"description": "Complete",
"email_subj": "has been completed",
"email_header": "Your order has been completed. Thank you for choosing us.",
"lang_code": "en",
"params":
{
"allow_return": "Y",
"repay": "N",
"notify": "Y",
"gift_cert_status": "A",
"inventory": "D",
"color": "#97cf4d",
"remove_cc_info": "Y"
}
}
"""
NEW = """
{
"type": "O",
"description": "Proc",
"email_subj": "has been processed",
"email_header": "Your order has been processed successfully.",
"lang_code": "en",
"params":
{
"allow_return": "N",
"repay": "N",
"gift_cert_status": "P",
"notify": "Y",
"inventory": "D",
"color": "#97cf4d",
"remove_cc_info": "Y"
}
}
"""
