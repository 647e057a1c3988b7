"""Client libraries that can write and that no guard stands for yet: the census names them."""

from __future__ import annotations

import sys
from typing import Final

# Module to what it is. A library that gets a guard leaves this list.
KNOWN: Final = {
    "aioboto3": "AWS", "aiobotocore": "AWS", "aiomysql": "SQL", "aiosmtplib": "mail", "asyncmy": "SQL",
    "asyncssh": "SSH", "azure.cosmos": "Azure", "azure.servicebus": "Azure", "azure.storage.blob": "Azure",
    "cassandra": "Cassandra", "clickhouse_connect": "ClickHouse", "clickhouse_driver": "ClickHouse",
    "confluent_kafka": "Kafka", "couchbase": "Couchbase", "cx_Oracle": "SQL", "duckdb": "SQL",
    "elasticsearch": "Elasticsearch", "elasticsearch7": "Elasticsearch", "etcd3": "etcd", "faust": "Kafka",
    "ftplib": "FTP", "google.cloud.bigquery": "Google Cloud", "google.cloud.firestore": "Google Cloud",
    "google.cloud.pubsub": "Google Cloud", "google.cloud.pubsub_v1": "Google Cloud",
    "google.cloud.storage": "Google Cloud", "happybase": "HBase", "hvac": "Vault", "influxdb_client": "InfluxDB",
    "kafka": "Kafka", "kazoo": "ZooKeeper", "ldap3": "LDAP", "mysql.connector": "SQL", "nats": "NATS",
    "neo4j": "Neo4j", "opensearchpy": "OpenSearch", "oracledb": "SQL", "paho.mqtt": "MQTT", "paramiko": "SSH",
    "pg8000": "SQL", "psycopg2": "SQL", "pulsar": "Pulsar", "pycurl": "HTTP", "pylibmc": "Memcached",
    "pymemcache": "Memcached", "pymssql": "SQL", "pyodbc": "SQL", "snowflake.connector": "SQL", "stomp": "STOMP",
    "telnetlib": "Telnet", "tornado.httpclient": "HTTP", "treq": "HTTP", "trino": "SQL", "twisted.internet": "TCP",
    "valkey": "Valkey", "zmq": "ZeroMQ",
}  # fmt: skip


def imported() -> tuple[str, ...]:
    """The known unguarded libraries that this process has imported."""
    return tuple(name for name in KNOWN if name in sys.modules)
