"""Images of Label Studio's tasks: in the task itself, or kept by the one configured host."""
from __future__ import annotations

import base64
import re
import threading
import time
from typing import Any
from urllib.parse import unquote, urlsplit

import httpx

from glipkit.errors import UserError
from glipkit.serve.limits import Limits, TooLarge
from glipkit.serve.uploads import from_base64

#: Places of Label Studio where images are: uploads, stores, and the pictures of its examples.
_PLACES = re.compile(r'/(data|storage-data|static|tasks/\d+/(presign|resolve))/')
_CLOUD = ('s3:', 'gs:', 'azure-blob:')
#: Seconds for which an access token is used; Label Studio's own live for five minutes.
TOKEN_AGE = 240
_REDIRECTS = 3


class LabelStudioFiles:
    """Reads images of tasks. Paths of this machine and addresses elsewhere are never read.

    Args:
        limits: Of the size of a file.
        url: Address of Label Studio, e.g. ``http://127.0.0.1:8080``; None reads data URLs alone.
        key: API key of a user of it: a personal access token, or a legacy token.

    Raises:
        UserError: No address with http or https, or one without a key.
    """

    def __init__(self, limits: Limits, url: str | None = None, key: str | None = None) -> None:
        self._limits, self._url, self._key = limits, None, key or ''
        if url is not None:
            parts = urlsplit(url)
            if parts.scheme not in ('http', 'https') or not parts.hostname or parts.username:
                raise UserError('the address of Label Studio, e.g. http://127.0.0.1:8080',
                                repr(url), 'correct it')
            if not self._key:
                raise UserError('an API key for Label Studio', 'its address alone',
                                'pass --label-studio-key, or set LABEL_STUDIO_API_KEY')
            self._url = parts
        self._lock = threading.Lock()
        self._access, self._until = '', 0.

    def read(self, value: Any, task_id: Any, timeout: float) -> bytes:
        """The encoded image of a task.

        Args:
            value: What the data of the task holds.
            task_id: Id of the task, which images in cloud storage need.
            timeout: Seconds that it may take.

        Raises:
            UserError: It is no image that may be read, or could not be fetched.
        """
        if not isinstance(value, str) or not value:
            raise UserError('an image as a text', repr(value)[:80], "check the task's data")
        if value[:5].lower() == 'data:':
            return from_base64(value)
        try:
            path = self._path(value, task_id)
            with httpx.Client(timeout=max(timeout, .1), headers=self._headers(timeout)) as client:
                return self._fetch(client, path, time.monotonic() + timeout)
        except UserError:
            raise
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            raise UserError('an image that Label Studio hands out', f'{value[:80]} ({error!r})',
                            'check --label-studio-url and the key') from error

    def _path(self, value: str, task_id: Any) -> str:
        """Path and query at Label Studio of what a task names."""
        if self._url is None:
            raise UserError('an image as a data URL', value[:80],
                            'start the server with --label-studio-url and --label-studio-key to '
                            'fetch images from there; paths of this machine are never read')
        if value.lower().startswith(_CLOUD):
            if not isinstance(task_id, int):
                raise UserError('the id of a task with an image in cloud storage', repr(task_id),
                                'send it with the task')
            encoded = base64.urlsafe_b64encode(value.encode()).decode()
            return f'{self._url.path.rstrip("/")}/tasks/{task_id}/presign/?fileuri={encoded}'
        parts = urlsplit(value)
        if (parts.scheme or parts.netloc) and (
                self._origin(parts) != self._origin(self._url) or parts.username is not None):
            raise UserError(f'an image kept by {self._url.hostname}', value[:80],
                            'import it into Label Studio; nothing is fetched from other hosts')
        path = parts.path if parts.path.startswith('/') else f'/{parts.path}'
        path = f'/data{path}' if path.startswith('/upload/') else path
        base = self._url.path.rstrip('/')
        inside = path.removeprefix(base) if base and path.startswith(f'{base}/') else path
        if '\\' in value or '..' in unquote(unquote(inside)).split('/') \
                or not _PLACES.match(inside):
            raise UserError('an image at Label Studio, such as /data/upload/1/a.jpg', value[:80],
                            "check the task's data")
        return base + inside + (f'?{parts.query}' if parts.query else '')

    @staticmethod
    def _origin(parts: Any) -> tuple[str, str | None, int | None]:
        return parts.scheme, parts.hostname, parts.port or {'http': 80, 'https': 443}.get(
            parts.scheme)

    def _address(self, path: str) -> str:
        return f'{self._url.scheme}://{self._url.netloc}{path}'

    def _fetch(self, client: httpx.Client, path: str, deadline: float) -> bytes:
        address = self._address(path)
        for _ in range(_REDIRECTS + 1):
            with client.stream('GET', address) as answer:
                if answer.has_redirect_location:
                    target = answer.next_request.url if answer.next_request else httpx.URL('')
                    if self._origin(urlsplit(str(target))) != self._origin(self._url):
                        raise UserError('an image that Label Studio hands out itself',
                                        f'a redirect to {target.host}',
                                        'switch pre-signed URLs of its cloud storage off')
                    address = str(target)
                    continue
                if answer.status_code != 200:
                    raise UserError('an image that Label Studio hands out',
                                    f'status {answer.status_code} for {path[:80]}',
                                    'check the key, and that its user may see the project')
                return self._content(answer, deadline)
        raise UserError('an image that Label Studio hands out', f'more than {_REDIRECTS} redirects',
                        'check --label-studio-url')

    def _content(self, answer: httpx.Response, deadline: float) -> bytes:
        content = bytearray()
        for part in answer.iter_bytes():
            content += part
            if len(content) > self._limits.max_bytes:
                raise TooLarge(f'an image of at most {self._limits.max_bytes} bytes', 'more',
                               'make it smaller')
            if time.monotonic() > deadline:
                raise httpx.ReadTimeout('the image came too slowly')
        return bytes(content)

    def _headers(self, timeout: float) -> dict[str, str]:
        """The header that shows the key; a personal access token buys one that soon expires."""
        if self._key.count('.') != 2:
            return {'Authorization': f'Token {self._key}'}
        with self._lock:
            if time.monotonic() > self._until:
                base = self._url.path.rstrip('/')
                answer = httpx.post(self._address(f'{base}/api/token/refresh/'),
                                    json={'refresh': self._key}, timeout=max(timeout, .1))
                answer.raise_for_status()
                self._access = str(answer.json().get('access', ''))
                self._until = time.monotonic() + TOKEN_AGE
            return {'Authorization': f'Bearer {self._access}'}
