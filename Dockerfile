# Builds a wheel in one stage, installs it in a slim second one.  Replays a capture that comes on standard input:
#
#   docker build -t cloudmri .
#   docker run --rm -i cloudmri < capture.pcap | jq
FROM debian:bookworm-slim AS build
WORKDIR /src
COPY . .
RUN scripts/wheel /wheels

FROM debian:bookworm-slim
RUN apt-get update \
 && apt-get install -y --no-install-recommends python3 python3-venv libpcap0.8 \
 && rm -rf /var/lib/apt/lists/*
COPY --from=build /wheels/*.whl /tmp/
RUN python3 -m venv /opt/cloudmri \
 && /opt/cloudmri/bin/pip install --no-cache-dir /tmp/*.whl \
 && rm /tmp/*.whl \
 && useradd --system --no-create-home --shell /usr/sbin/nologin cloudmri
ENV PATH=/opt/cloudmri/bin:$PATH
USER cloudmri
ENTRYPOINT ["cloudmri"]
CMD ["replay", "-"]
