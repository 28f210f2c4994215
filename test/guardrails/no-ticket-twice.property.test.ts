import { defineNoTicketTwice } from './no-ticket-twice-cases.ts';

defineNoTicketTwice(240);
