import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Metrics } from '../metrics/metrics.js';
import type { ControlTarget } from '../reports.js';

/** One path of the control socket with one method. */
export interface Route {
  /** A part that begins with a colon stands for any text without a slash. */
  path: string;
  method: 'GET' | 'POST' | 'PATCH' | 'DELETE';
  /** The answer may take longer than the silence that a connection is allowed. */
  takesLong?: true;
  /** Returns what is sent, as JSON unless the reply says otherwise. */
  answer(services: RouteServices, request: FastifyRequest, reply: FastifyReply): unknown;
}

export interface RouteServices {
  target: ControlTarget;
  metrics: Metrics;
}
