# The image holds the interpreter, the wheel and its dependencies; nothing is compiled at run time.
FROM python:3.13-slim AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY gateway gateway
COPY plugins plugins
COPY config config
RUN ["python", "-m", "pip", "wheel", "--no-cache-dir", "--wheel-dir", "/wheels", "."]

FROM python:3.13-slim
ENV DAOBO_HOST=0.0.0.0 \
    DAOBO_STATE=/var/lib/daobo
RUN ["useradd", "--system", "--uid", "10001", "--home-dir", "/var/lib/daobo", "--create-home", "daobo"]
# Installed by a mount, not copied: the wheels would stay in a layer of their own.
RUN --mount=type=bind,from=build,source=/wheels,target=/wheels \
    ["python", "-m", "pip", "install", "--no-cache-dir", "--no-index", "--find-links", "/wheels", "daobo"]
USER daobo
WORKDIR /var/lib/daobo
VOLUME /var/lib/daobo
EXPOSE 8080
# Past any proxy that the environment names for the upstreams.
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as u; u.build_opener(u.ProxyHandler({})).open('http://127.0.0.1:' + os.environ.get('DAOBO_PORT', '8080') + '/healthz', timeout=3)"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["daobo"]
CMD ["serve"]
