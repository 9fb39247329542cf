"""Kafka: a consumer whose offsets are committed once its records are durable."""

from __future__ import annotations

from muniment.receive.kafka.consumer import KafkaConsumer

__all__ = ["KafkaConsumer"]
