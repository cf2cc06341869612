#!/usr/bin/env bash
# Records the captures in this folder anew: real servers and clients on one machine, mirrored through a kernel VXLAN device.
#
#   pcaps/record.sh [CASE...]      all cases, or those named: http tls12 tls13 dtls quic dns websocket tunnel
#                                  http2 postgresql postgresql-extended ssh
#
# Three network namespaces stand for a client, a server and the sensor.  Every packet on the server's interface is
# duplicated (nftables, netdev dup) into a VXLAN device whose far end is the sensor, which so sees what the target of a
# cloud's traffic mirroring sees.  Needs root, and the Debian packages that need() names.  Afterwards run
# pcaps/wrap.py for the GENEVE captures, pytest --accept, and read what has changed in tests/golden/.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
net=cmri                                   # prefix of the namespaces
vni=7770001
work=$(mktemp -d /tmp/cloudmri-record.XXXX)
chmod 755 "$work"

client() { ip netns exec $net-client "$@"; }
server() { ip netns exec $net-server "$@"; }

need() {
  local missing=()
  for pair in ip:iproute2 nft:nftables ethtool:ethtool tcpdump:tcpdump nginx:nginx-light curl:curl openssl:openssl \
      psql:postgresql-client sshd:openssh-server ssh:openssh-client python3:python3-asyncpg dnsmasq:dnsmasq-base \
      dig:bind9-dnsutils nghttpd:nghttp2-server nghttp:nghttp2-client; do
    command -v "${pair%%:*}" >/dev/null || missing+=("${pair##*:}")
  done
  ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || missing+=(postgresql)
  for module in asyncpg websockets; do
    /usr/bin/python3 -c "import $module" 2>/dev/null || missing+=("python3-$module")
  done
  [ ${#missing[@]} = 0 ] || { echo "record.sh: install ${missing[*]}" >&2; exit 1; }
  [ "$(id -u)" = 0 ] || { echo "record.sh: needs root, for network namespaces" >&2; exit 1; }
}

up() {
  for host in client server sensor; do
    ip netns add $net-$host
    ip -n $net-$host link set lo up
  done
  ip link add c0 netns $net-client type veth peer name s0 netns $net-server
  ip link add m0 netns $net-server type veth peer name x0 netns $net-sensor
  ip -n $net-client addr add 10.20.0.10/24 dev c0
  ip -n $net-server addr add 10.20.0.20/24 dev s0
  ip -n $net-server addr add 172.31.0.1/24 dev m0
  ip -n $net-sensor addr add 172.31.0.2/24 dev x0
  ip -n $net-server link set m0 mtu 9001
  ip -n $net-sensor link set x0 mtu 9001
  for end in client:c0 server:s0 server:m0 sensor:x0; do
    ip netns exec $net-${end%%:*} sysctl -qw net.ipv6.conf.all.disable_ipv6=1
    ip -n $net-${end%%:*} link set "${end##*:}" up
    ip netns exec $net-${end%%:*} ethtool -K "${end##*:}" tso off gso off gro off tx off rx off >/dev/null 2>&1 || true
  done
  ip -n $net-server link add vx0 type vxlan id $vni remote 172.31.0.2 local 172.31.0.1 dstport 4789 dev m0 nolearning
  ip -n $net-server link set vx0 mtu 8951
  ip -n $net-server link set vx0 up
  for end in client:c0 server:s0 server:m0 sensor:x0; do
    until ip -n $net-${end%%:*} -br link show "${end##*:}" | grep -q ' UP '; do sleep 0.1; done
  done
  server nft -f - <<'N'
table netdev mirror {
  chain in  { type filter hook ingress device s0 priority 0; ether type ip dup to "vx0"; }
  chain out { type filter hook egress  device s0 priority 0; ether type ip dup to "vx0"; }
}
N
}

down() {
  for host in client server sensor; do
    for pid in $(ip netns pids $net-$host 2>/dev/null); do kill "$pid" 2>/dev/null || true; done
    ip netns del $net-$host 2>/dev/null || true
  done
  rm -rf "$work"
}

record() {                                 # record FILE: in the background, until stop
  mkdir -p "$(dirname "$here/$1")"
  ip netns exec $net-sensor tcpdump -i x0 -U --immediate-mode -s 0 -w "$here/$1" -Z root udp port 4789 2>"$work/tcpdump.log" &
  tcpdump=$!
  until grep -q 'listening on' "$work/tcpdump.log"; do sleep 0.1; done
}

stop() { sleep 0.7; kill -INT "$tcpdump"; wait "$tcpdump" || true; }

keys() {
  openssl req -x509 -newkey rsa:2048 -nodes -days 3650 -keyout "$work/k.pem" -out "$work/c.pem" \
    -subj "/C=US/O=CloudMRI/CN=shop.example.test" -addext "subjectAltName=DNS:shop.example.test" 2>/dev/null
}

web() {
  mkdir -p "$work/www"
  printf '{"item": 17, "name": "kettle"}' >"$work/www/item.json"
  seq 1 400 >"$work/www/numbers.txt"
  printf 'ana:%s\n' "$(openssl passwd -apr1 s3cret)" >"$work/users"
  cat >"$work/nginx.conf" <<N
worker_processes 1; pid $work/nginx.pid; error_log $work/nginx.log; events { }
http {
  access_log off; default_type text/plain; types { application/json json; text/plain txt; }
  client_body_temp_path $work/b; proxy_temp_path $work/p; fastcgi_temp_path $work/f; uwsgi_temp_path $work/u;
  scgi_temp_path $work/s;
  server {
    listen 10.20.0.20:80; root $work/www;
    location = /login { add_header Set-Cookie "sid=8842; HttpOnly"; return 302 /item.json; }
    location = /zipped { gzip on; gzip_min_length 1; gzip_types text/plain; alias $work/www/numbers.txt; }
    location = /private { auth_basic "keys"; auth_basic_user_file $work/users; alias $work/www/item.json; }
    location = /upload { client_max_body_size 1m; return 200 "thanks\n"; }
  }
  server {
    listen 10.20.0.20:443 ssl; root $work/www; ssl_protocols TLSv1.2 TLSv1.3; ssl_session_tickets on;
    ssl_certificate $work/c.pem; ssl_certificate_key $work/k.pem;
  }
}
N
  server nginx -c "$work/nginx.conf" &
  until server sh -c 'exec 3<>/dev/tcp/10.20.0.20/80' 2>/dev/null || curl_ok; do sleep 0.1; done
}
curl_ok() { client curl -so /dev/null http://10.20.0.20/item.json; }

http() {
  web
  local base=http://shop.example.test to=(--resolve shop.example.test:80:10.20.0.20 -s -o /dev/null)
  record http/nginx-curl.pcap
  client curl "${to[@]}" "$base/item.json?id=17&user=ana%20b" -o /dev/null "$base/missing" -H 'Cookie: sid=8842' -e "$base/start"
  client curl "${to[@]}" -L "$base/login"
  client curl "${to[@]}" -I "$base/numbers.txt"
  client curl "${to[@]}" --compressed "$base/zipped"
  client curl "${to[@]}" -u ana:s3cret "$base/private"
  client curl "${to[@]}" -u ana:wrong "$base/private"
  client curl "${to[@]}" -H 'Expect: 100-continue' --data-binary "@$work/www/numbers.txt" "$base/upload"
  seq 1 300 | client curl "${to[@]}" -H 'Transfer-Encoding: chunked' --data-binary @- "$base/upload"
  client curl "${to[@]}" -X PROPFIND -H 'X-Forwarded-For: 203.0.113.9' "$base/item.json"
  printf 'GET /item.json HTTP/1.1\r\nHost: a\r\n\r\nGET /numbers.txt HTTP/1.1\r\nHost: b\r\nConnection: close\r\n\r\n' |
    client timeout 5 bash -c 'exec 3<>/dev/tcp/10.20.0.20/80; cat >&3; cat <&3 >/dev/null'
  stop
}

tls12() {
  web
  record tls/openssl-tls12.pcap
  client curl -sk -o /dev/null --tls-max 1.2 --resolve shop.example.test:443:10.20.0.20 https://shop.example.test/item.json
  local session="$work/session"
  for reuse in -sess_out -sess_in; do
    printf 'GET /item.json HTTP/1.0\r\nHost: shop.example.test\r\n\r\n' |
      client timeout 5 openssl s_client -tls1_2 -connect 10.20.0.20:443 -servername shop.example.test -alpn http/1.1 \
        $reuse "$session" -ign_eof >/dev/null 2>&1 || true
  done
  client timeout 5 openssl s_client -tls1_1 -cipher ALL:@SECLEVEL=0 -connect 10.20.0.20:443 </dev/null >/dev/null 2>&1 || true
  stop
}

tls13() {
  web
  record tls/curl-tls13.pcap
  client curl -sk -o /dev/null --tlsv1.3 --resolve shop.example.test:443:10.20.0.20 https://shop.example.test/item.json
  client timeout 5 openssl s_client -tls1_3 -groups P-384 -ciphersuites TLS_CHACHA20_POLY1305_SHA256 \
    -connect 10.20.0.20:443 -servername other.example.test </dev/null >/dev/null 2>&1 || true
  stop
}

dtls() {
  record tls/openssl-dtls12.pcap
  # -mtu: several fragments a message.  The second client has a certificate of its own.
  server openssl s_server -dtls1_2 -mtu 600 -accept 10.20.0.20:4433 -cert "$work/c.pem" -key "$work/k.pem" -verify 1 -quiet \
    >/dev/null 2>&1 &
  sleep 0.5
  for own in "" "-cert $work/c.pem -key $work/k.pem"; do
    # shellcheck disable=SC2086
    (sleep 0.5; echo hello; sleep 0.3) | client timeout 3 openssl s_client -dtls1_2 -connect 10.20.0.20:4433 \
      -servername shop.example.test $own >/dev/null 2>&1 || true
  done
  stop
}

quic() {
  python3 -m venv "$work/venv"
  "$work/venv/bin/pip" install -q 'aioquic>=1'
  cat >"$work/quic.py" <<'P'
import asyncio, ssl, sys
from aioquic.asyncio import QuicConnectionProtocol, connect, serve
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.packet import QuicProtocolVersion as V

class Echo(QuicConnectionProtocol):
    def quic_event_received(self, event):
        if getattr(event, "end_stream", False):
            self._quic.send_stream_data(event.stream_id, b"bye" * 500, True)
            self.transmit()

async def server():
    c = QuicConfiguration(is_client=False, alpn_protocols=["echo", "h3"], supported_versions=[V.VERSION_1, V.VERSION_2])
    c.load_cert_chain(sys.argv[2], sys.argv[3])
    await serve("10.20.0.20", 443, configuration=c, create_protocol=Echo)
    await asyncio.sleep(60)

async def client():
    for version, name, alpn in ((V.VERSION_1, "shop.example.test", "h3"), (V.VERSION_2, "two.example.test", "echo")):
        c = QuicConfiguration(is_client=True, alpn_protocols=[alpn], server_name=name, verify_mode=ssl.CERT_NONE,
                              supported_versions=[version], original_version=version)
        async with connect("10.20.0.20", 443, configuration=c) as q:
            reader, writer = await q.create_stream()
            writer.write(b"hello" * 700)
            writer.write_eof()
            await reader.read()

asyncio.run(server() if sys.argv[1] == "server" else client())
P
  record quic/aioquic.pcap
  server "$work/venv/bin/python" "$work/quic.py" server "$work/c.pem" "$work/k.pem" &
  sleep 1.5
  client "$work/venv/bin/python" "$work/quic.py" client
  stop
}

http2() {
  web
  server nghttpd --no-tls -d "$work/www" --trailer 'grpc-status: 0' --echo-upload 8080 &
  sleep 0.5
  local base=http://10.20.0.20:8080
  record http2/nghttpd-nghttp.pcap
  client nghttp -n "$base/item.json" "$base/numbers.txt" "$base/missing" "$base/item.json?user=ana%20b"
  client nghttp -n -H 'content-type: application/grpc' -H 'te: trailers' -d "$work/www/item.json" "$base/shop.Orders/Find"
  client curl -s -o /dev/null --http2-prior-knowledge -A tests/2 -u ana:s3cret -e "$base/start" "$base/numbers.txt"
  client curl -s -o /dev/null --http2 "$base/item.json" || true
  stop
}

dns() {
  cat >"$work/dnsmasq.conf" <<N
no-resolv
no-hosts
user=root
pid-file=$work/dnsmasq.pid
listen-address=10.20.0.20
bind-interfaces
host-record=shop.example.test,10.20.0.20,2001:db8::20
cname=www.example.test,shop.example.test
mx-host=example.test,mail.example.test,10
txt-record=example.test,"v=spf1 -all","second string"
srv-host=_sip._tcp.example.test,shop.example.test,5060,1,2
ptr-record=20.0.20.10.in-addr.arpa,shop.example.test
caa-record=example.test,0,issue,"ca.example.test"
local=/example.test/
address=/many.example.test/10.0.0.1
N
  for i in $(seq 2 60); do echo "host-record=long.example.test,10.1.0.$i" >>"$work/dnsmasq.conf"; done
  server dnsmasq -C "$work/dnsmasq.conf"
  record dns/dnsmasq-dig.pcap
  local at=(@10.20.0.20 +tries=1 +time=1)
  for ask in 'A Shop.Example.test' 'AAAA shop.example.test' 'A www.example.test' 'MX example.test' 'TXT example.test' \
      'SRV _sip._tcp.example.test' 'CAA example.test' 'A missing.example.test' 'A elsewhere.test'; do
    # shellcheck disable=SC2086
    client dig "${at[@]}" $ask >/dev/null
  done
  client dig "${at[@]}" -x 10.20.0.20 >/dev/null
  client dig "${at[@]}" +dnssec +subnet=192.0.2.0/24 A shop.example.test >/dev/null
  client dig "${at[@]}" +noedns A long.example.test >/dev/null
  client dig "${at[@]}" +tcp A long.example.test >/dev/null
  client dig "${at[@]}" +tcp +keepopen shop.example.test A example.test MX >/dev/null
  client dig @10.20.0.21 +tries=2 +time=1 A nobody.example.test >/dev/null || true
  stop
}

websocket() {
  cat >"$work/ws.py" <<'P'
import asyncio, sys, websockets
async def answer(socket, path="/"):
    async for message in socket:
        await socket.send(message * 2)
async def server():
    async with websockets.serve(answer, "10.20.0.20", 8080, subprotocols=["chat.v2", "chat"]):
        await asyncio.sleep(60)
async def client():
    async with websockets.connect("ws://10.20.0.20:8080/room/7?x=1", subprotocols=["chat"], user_agent_header="tests/1") as s:
        for message in ("hello", "x" * 500, "y" * 70000):
            await s.send(message)
            await s.recv()
        await s.ping()
    async with websockets.connect("ws://10.20.0.20:8080/plain", compression=None) as s:
        await s.send(b"\0" * 10)
        await s.recv()
asyncio.run(server() if sys.argv[1] == "server" else client())
P
  record websocket/python-websockets.pcap
  server /usr/bin/python3 "$work/ws.py" server &
  sleep 1
  client /usr/bin/python3 "$work/ws.py" client
  stop
}

tunnel() {                                 # TCP inside of WebSockets, as such tunnels do it: one for each connection
  web
  cat >"$work/tunnel.py" <<'P'
import asyncio, sys, websockets
async def relay(socket, reader, writer):
    async def out():
        async for message in socket:
            writer.write(message)
            await writer.drain()
        writer.close()
    async def back():
        while data := await reader.read(1500):
            await socket.send(data)
        await socket.close()
    await asyncio.gather(out(), back(), return_exceptions=True)
async def leave(socket):
    await relay(socket, *await asyncio.open_connection("10.20.0.20", int(socket.path.strip("/"))))
async def enter(reader, writer, port):
    async with websockets.connect(f"ws://10.20.0.20:8080/{port}", compression=None, max_size=None) as socket:
        await relay(socket, reader, writer)
async def main():
    if sys.argv[1] == "server":
        await websockets.serve(leave, "10.20.0.20", 8080, compression=None)
    else:
        for port in (80, 443):
            await asyncio.start_server(lambda r, w, port=port: enter(r, w, port), "127.0.0.1", 7000 + port)
    await asyncio.sleep(60)
asyncio.run(main())
P
  server /usr/bin/python3 "$work/tunnel.py" server &
  client /usr/bin/python3 "$work/tunnel.py" client &
  sleep 1
  record websocket/tunnel.pcap
  client curl -s -o /dev/null -o /dev/null --connect-to ::127.0.0.1:7080 http://shop.example.test/item.json http://shop.example.test/numbers.txt
  client curl -sko /dev/null --connect-to ::127.0.0.1:7443 https://shop.example.test/item.json
  stop
}

database() {
  local bin
  bin=$(ls -d /usr/lib/postgresql/*/bin | tail -1)
  mkdir -p "$work/pg"
  chown postgres "$work/pg"
  echo owner >"$work/password"
  su postgres -c "$bin/initdb -A scram-sha-256 -U postgres --pwfile=$work/password -D $work/pg/d" >/dev/null
  cp "$work/c.pem" "$work/k.pem" "$work/pg/"
  chown postgres "$work"/pg/*.pem
  chmod 600 "$work"/pg/*.pem
  cat >>"$work/pg/d/postgresql.conf" <<N
listen_addresses = '10.20.0.20'
unix_socket_directories = '$work/pg'
ssl = on
ssl_cert_file = '$work/pg/c.pem'
ssl_key_file = '$work/pg/k.pem'
N
  echo 'host all all 10.20.0.0/24 scram-sha-256' >>"$work/pg/d/pg_hba.conf"
  server su postgres -c "$bin/postgres -D $work/pg/d" >"$work/pg.log" 2>&1 &
  until grep -q 'ready to accept' "$work/pg.log"; do sleep 0.2; done
  server env PGPASSWORD=owner psql -q -h "$work/pg" -U postgres -c "create role ana login password 'tea'" \
    -c 'create database shop owner ana'
}

postgresql() {
  database
  local at=(-h 10.20.0.20 -q -o /dev/null)
  export PGPASSWORD=tea
  record postgresql/psql-simple.pcap
  PGSSLMODE=disable client psql "${at[@]}" -U ana shop \
    -c 'create table item (id int primary key, name text)' \
    -c "insert into item select g, 'item ' || g from generate_series(1, 200) g" \
    -c 'select * from item where id <= 50' -c 'update item set name = upper(name) where id < 4; delete from item where id > 190' \
    -c "alter role ana password 'new tea'; alter role ana password 'tea'" -c 'copy item to stdout' || true
  PGSSLMODE=disable client psql "${at[@]}" -U ana shop -c 'select nope from item' 2>/dev/null || true
  PGSSLMODE=disable PGPASSWORD=wrong client psql "${at[@]}" -U ana shop -c 'select 1' 2>/dev/null || true
  PGSSLMODE=require client psql "${at[@]}" -U ana shop -c 'select 2' || true
  stop
}

postgresql-extended() {
  database
  record postgresql/asyncpg-extended.pcap
  client /usr/bin/python3 - <<'P'
import asyncio, asyncpg
async def main():
    c = await asyncpg.connect("postgresql://ana:tea@10.20.0.20/shop", ssl=False, server_settings={"application_name": "orders"})
    await c.execute("create table orders (id int, what text)")
    await c.executemany("insert into orders values ($1, $2)", [(i, f"thing {i}") for i in range(5)])
    find = await c.prepare("select what from orders where id = $1")
    for i in range(3):
        await find.fetch(i)
    async with c.transaction():
        cursor = await c.cursor("select * from orders order by id")
        await cursor.fetch(2)
        await cursor.fetch(2)
    for bad in ("select 1 / $1::int", "select no_such_column"):
        try:
            await c.fetch(bad, *([0] if "$1" in bad else []))
        except asyncpg.PostgresError:
            pass
    await c.close()
asyncio.run(main())
P
  stop
}

shell() {
  mkdir -p /run/sshd
  ssh-keygen -q -t ed25519 -N '' -f "$work/host"
  ssh-keygen -q -t ed25519 -N '' -f "$work/id"
  printf 'Port 22\nListenAddress 10.20.0.20\nHostKey %s\nAuthorizedKeysFile %s\nPidFile %s\nStrictModes no\n' \
    "$work/host" "$work/id.pub" "$work/sshd.pid" >"$work/sshd.conf"
  server /usr/sbin/sshd -f "$work/sshd.conf" -E "$work/sshd.log"
}

ssh-case() {
  shell
  local options=(-q -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -F none)
  record ssh/openssh.pcap
  client ssh "${options[@]}" -i "$work/id" root@10.20.0.20 'seq 1 2000 | wc -l' >/dev/null || true
  client ssh "${options[@]}" -i "$work/host" nobody@10.20.0.20 true >/dev/null 2>&1 || true
  client ssh "${options[@]}" -i "$work/id" -c aes128-ctr -m hmac-sha2-256 -o KexAlgorithms=diffie-hellman-group-exchange-sha256 \
    root@10.20.0.20 true >/dev/null || true
  stop
}

need
trap down EXIT
cases=("$@")
[ ${#cases[@]} -gt 0 ] || cases=(http tls12 tls13 dtls quic dns websocket tunnel http2 postgresql postgresql-extended ssh)
for case in "${cases[@]}"; do
  up
  keys
  if [ "$case" = ssh ]; then ssh-case; else "$case"; fi
  down
  work=$(mktemp -d /tmp/cloudmri-record.XXXX)
  chmod 755 "$work"
  echo "recorded $case"
done
